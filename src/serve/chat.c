/* From a list of messages to the prompt that the model expects. */
#include "serve/call.h"

bool serve_can_chat(const struct model *model)
{
    return false;
}

enum status serve_render(const struct model *model, const struct serve_request *request,
                         struct buffer *text, struct error *error)
{
    return error_set(error, STATUS_FAILED, "the model comes without a chat template");
}
