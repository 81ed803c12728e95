/* Bodies of the server's requests: the first byte says for which route. */
#include "fuzz/fuzz.h"
#include "run/suggestion.h"
#include "serve/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct serve_terms terms = {1000, sampling_usual};
    struct serve_request request;
    struct serve_refusal refusal = {0};
    if (size == 0)
        return 0;
    if (serve_request_read((enum serve_kind)(data[0] % 5), (const char *)data + 1, size - 1, &terms,
                           &request, &refusal))
        serve_request_free(&request);
    else if (refusal.status != 400)
        abort();
    else
        json_decref(serve_refusal_json(&refusal));
    return 0;
}
