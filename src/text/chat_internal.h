/* Between the halves of text/chat.h; private to them. */
#ifndef TEXT_CHAT_INTERNAL_H
#define TEXT_CHAT_INTERNAL_H

#include "text/chat.h"

/* Messages as templates get them, a new list. Fails unless they are objects, and some. */
enum status chat_normalize(const json_t *messages, const char *name, json_t **list,
                           struct error *error);
/* Renders a normalized list with the prompt of an answer behind it, or without. */
enum status chat_render_list(const struct jinja *template, json_t *messages,
                             const struct chat_options *options, bool prompt, struct buffer *text,
                             struct jinja_ranges *ranges, struct error *error);

#endif
