/* The methods of Python's str that templates call. Positions count characters, not bytes. */
#include <string.h>
#include <utf8proc.h>

#include "text/jinja_tree.h"
#include "text/jinja_words.h"
#include "text/unicode.h"

#define METHOD(name)                                                                               \
    static struct jinja_value name(struct jinja_run *run, struct jinja_value self,                 \
                                   const struct jinja_arguments *arguments)

/* Argument `index` as a text; `optional`: it may be missing or None, which gives none. */
static struct jinja_value text_argument(struct jinja_run *run,
                                        const struct jinja_arguments *arguments, size_t index,
                                        const char *name, bool optional)
{
    struct jinja_value value = jinja_argument(run, arguments, index, name);
    if (optional && (value.type == JINJA_UNDEFINED || value.type == JINJA_NONE))
        return jinja_none();
    if (value.type != JINJA_TEXT)
        jinja_fail(run, "argument %zu of a text's method must be a text, not %s", index + 1,
                   jinja_type_name(value));
    return value.type == JINJA_TEXT ? value : jinja_literal("");
}

/* Stripping. */

static bool is_one_of(const char *at, size_t width, struct jinja_value set)
{
    uint32_t point;
    if (set.type == JINJA_NONE)
        return unicode_decode(at, width, &point) > 0 && jinja_is_space(point);
    for (size_t i = 0, step; i < set.length; i += step) {
        step = jinja_offset(set.text + i, set.length - i, 1);
        if (step == width && memcmp(set.text + i, at, width) == 0)
            return true;
    }
    return false;
}

struct jinja_value jinja_strip(struct jinja_run *run, struct jinja_value text,
                               struct jinja_value set, bool left, bool right)
{
    const char *begin = text.text, *end = begin + text.length;
    size_t steps = 1 + set.length / 16; /* for a character */
    while (left && begin < end && jinja_charge(run, steps)) {
        size_t width = jinja_offset(begin, (size_t)(end - begin), 1);
        if (!is_one_of(begin, width, set))
            break;
        begin += width;
    }
    while (right && begin < end && jinja_charge(run, steps)) {
        const char *last = end - 1;
        while (last > begin && (*last & 0xc0) == 0x80)
            last--;
        if (!is_one_of(last, (size_t)(end - last), set))
            break;
        end = last;
    }
    return jinja_slice_of(begin, (size_t)(end - begin));
}

METHOD(do_strip)
{
    return jinja_strip(run, self, text_argument(run, arguments, 0, NULL, true), true, true);
}

METHOD(do_lstrip)
{
    return jinja_strip(run, self, text_argument(run, arguments, 0, NULL, true), true, false);
}

METHOD(do_rstrip)
{
    return jinja_strip(run, self, text_argument(run, arguments, 0, NULL, true), false, true);
}

/* Letters. */

static void add_point(struct buffer *out, uint32_t point, enum jinja_letters letters)
{
    char bytes[4];
    utf8proc_int32_t c = (utf8proc_int32_t)point;
    if (point == 0xdf && letters != JINJA_LOWER) { /* the one letter whose capital is two */
        buffer_add_text(out, letters == JINJA_UPPER ? "SS" : "Ss");
        return;
    }
    c = letters == JINJA_LOWER   ? utf8proc_tolower(c)
        : letters == JINJA_UPPER ? utf8proc_toupper(c)
                                 : utf8proc_totitle(c);
    buffer_add(out, bytes, unicode_encode((uint32_t)c, bytes));
}

static bool is_cased(uint32_t point)
{
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)point);
    return c == UTF8PROC_CATEGORY_LU || c == UTF8PROC_CATEGORY_LL || c == UTF8PROC_CATEGORY_LT;
}

struct jinja_value jinja_change_case(struct jinja_run *run, struct jinja_value text,
                                     enum jinja_letters letters)
{
    struct buffer out = {0};
    bool first = true, inside = false;
    jinja_charge(run, text.length / 8);
    for (size_t at = 0, width; at < text.length && !run->failed; at += width) {
        uint32_t point;
        bool begins;
        width = unicode_decode(text.text + at, text.length - at, &point);
        if (width == 0)
            break;
        if (letters == JINJA_TITLE || letters == JINJA_SWAPPED)
            begins = !inside;
        else if (letters == JINJA_TITLE_FILTER)
            begins = first || inside;
        else
            begins = first;
        first = false;
        inside =
            letters == JINJA_TITLE_FILTER
                ? jinja_is_space(point) || (point < 128 && point && strchr("-({[<", (int)point))
                : is_cased(point);
        if (letters == JINJA_UPPER || letters == JINJA_LOWER)
            add_point(&out, point, letters);
        else if (letters == JINJA_TITLE_FILTER)
            add_point(&out, point, begins ? JINJA_UPPER : JINJA_LOWER);
        else if (letters == JINJA_SWAPPED)
            add_point(&out, point,
                      utf8proc_category((utf8proc_int32_t)point) == UTF8PROC_CATEGORY_LU
                          ? JINJA_LOWER
                          : JINJA_UPPER);
        else
            add_point(&out, point, begins ? JINJA_TITLE : JINJA_LOWER);
    }
    return jinja_take(run, &out);
}

METHOD(do_upper)
{
    (void)arguments;
    return jinja_change_case(run, self, JINJA_UPPER);
}

METHOD(do_lower)
{
    (void)arguments;
    return jinja_change_case(run, self, JINJA_LOWER);
}

METHOD(do_title)
{
    (void)arguments;
    return jinja_change_case(run, self, JINJA_TITLE);
}

METHOD(do_capitalize)
{
    (void)arguments;
    return jinja_change_case(run, self, JINJA_CAPITALIZED);
}

METHOD(do_swapcase)
{
    (void)arguments;
    return jinja_change_case(run, self, JINJA_SWAPPED);
}

/* Splitting and joining. */

static bool add_part(struct jinja_run *run, struct jinja_list *list, const char *begin,
                     const char *end)
{
    return jinja_list_add(run, list, jinja_slice_of(begin, (size_t)(end - begin)));
}

/* Splits at white space; a text of white space alone has no parts. */
static void split_words(struct jinja_run *run, struct jinja_value text, int64_t most,
                        struct jinja_list *list)
{
    struct jinja_value rest = jinja_strip(run, text, jinja_none(), true, false);
    while (rest.length && !run->failed) {
        size_t at = 0, width;
        if (most >= 0 && (int64_t)list->count >= most) {
            jinja_list_add(run, list, rest);
            return;
        }
        for (; at < rest.length; at += width) {
            width = jinja_offset(rest.text + at, rest.length - at, 1);
            if (is_one_of(rest.text + at, width, jinja_none()))
                break;
        }
        add_part(run, list, rest.text, rest.text + at);
        rest = jinja_strip(run, jinja_slice_of(rest.text + at, rest.length - at), jinja_none(),
                           true, false);
    }
}

static void split_at(struct jinja_run *run, struct jinja_value text, struct jinja_value mark,
                     int64_t most, struct jinja_list *list)
{
    const char *at = text.text, *end = at + text.length, *found;
    while (!run->failed && (most < 0 || (int64_t)list->count < most) && at < end &&
           (found = memmem(at, (size_t)(end - at), mark.text, mark.length))) {
        add_part(run, list, at, found);
        at = found + mark.length;
    }
    add_part(run, list, at, end);
}

/* The last place of a piece in [begin, end), or NULL. */
static const char *find_last(struct jinja_run *run, const char *begin, const char *end,
                             struct jinja_value mark)
{
    size_t length = (size_t)(end - begin);
    if (length < mark.length)
        return NULL;
    for (size_t at = length - mark.length + 1; at-- > 0;) {
        if (at % 16 == 0 && !jinja_charge(run, 1 + mark.length))
            return NULL;
        if (memcmp(begin + at, mark.text, mark.length) == 0)
            return begin + at;
    }
    return NULL;
}

static void reverse(struct jinja_list *list)
{
    for (size_t i = 0; i < list->count / 2; i++) {
        struct jinja_value other = list->items[list->count - 1 - i];
        list->items[list->count - 1 - i] = list->items[i];
        list->items[i] = other;
    }
}

static void split_from_right(struct jinja_run *run, struct jinja_value text,
                             struct jinja_value mark, int64_t most, struct jinja_list *list)
{
    const char *begin = text.text, *end = begin + text.length, *found;
    if (mark.type == JINJA_NONE) {
        struct jinja_value rest = jinja_strip(run, text, jinja_none(), false, true);
        while (rest.length && !run->failed && (most < 0 || (int64_t)list->count < most)) {
            const char *p = rest.text + rest.length;
            while (p > rest.text) {
                const char *last = p - 1;
                while (last > rest.text && (*last & 0xc0) == 0x80)
                    last--;
                if (is_one_of(last, (size_t)(p - last), jinja_none()))
                    break;
                p = last;
            }
            add_part(run, list, p, rest.text + rest.length);
            rest = jinja_strip(run, jinja_slice_of(rest.text, (size_t)(p - rest.text)),
                               jinja_none(), false, true);
        }
        if (rest.length)
            jinja_list_add(run, list, rest);
    } else {
        while (!run->failed && (most < 0 || (int64_t)list->count < most) &&
               (found = find_last(run, begin, end, mark))) {
            add_part(run, list, found + mark.length, end);
            end = found;
        }
        add_part(run, list, begin, end);
    }
    reverse(list);
}

static struct jinja_value split(struct jinja_run *run, struct jinja_value self,
                                const struct jinja_arguments *arguments, bool right)
{
    struct jinja_list list = {0};
    struct jinja_value mark = text_argument(run, arguments, 0, "sep", true);
    int64_t most = jinja_argument_int(run, arguments, 1, "maxsplit", -1);
    jinja_charge(run, self.length / 16);
    if (mark.type == JINJA_TEXT && mark.length == 0)
        jinja_fail(run, "cannot split at an empty text");
    if (run->failed)
        return jinja_none();
    if (right)
        split_from_right(run, self, mark, most, &list);
    else if (mark.type == JINJA_NONE)
        split_words(run, self, most, &list);
    else
        split_at(run, self, mark, most, &list);
    return jinja_list_value(run, JINJA_LIST, list);
}

METHOD(do_split)
{
    return split(run, self, arguments, false);
}

METHOD(do_rsplit)
{
    return split(run, self, arguments, true);
}

/* Bytes of the line break at `at`, or 0. */
static size_t line_break(const char *at, const char *end)
{
    uint32_t point;
    size_t width = unicode_decode(at, (size_t)(end - at), &point);
    if (point == '\r' && at + 1 < end && at[1] == '\n')
        return 2;
    bool breaks = (point >= 10 && point <= 13) || (point >= 28 && point <= 30) || point == 0x85 ||
                  point == 0x2028 || point == 0x2029;
    return width && breaks ? width : 0;
}

struct jinja_list jinja_lines(struct jinja_run *run, struct jinja_value text, bool keep)
{
    struct jinja_list list = {0};
    const char *end = text.text + text.length, *begin = text.text;
    jinja_charge(run, text.length / 8);
    for (const char *at = begin; at < end && !run->failed;) {
        size_t width = line_break(at, end);
        at += width ? width : jinja_offset(at, (size_t)(end - at), 1);
        if (width) {
            add_part(run, &list, begin, at - (keep ? 0 : width));
            begin = at;
        }
    }
    if (begin < end)
        add_part(run, &list, begin, end);
    return list;
}

METHOD(do_splitlines)
{
    bool keep = jinja_argument_bool(run, arguments, 0, "keepends", false);
    return jinja_list_value(run, JINJA_LIST, jinja_lines(run, self, keep));
}

static struct jinja_value partition(struct jinja_run *run, struct jinja_value self,
                                    const struct jinja_arguments *arguments, bool right)
{
    struct jinja_list list = {0};
    struct jinja_value mark = text_argument(run, arguments, 0, "sep", false);
    const char *end = self.text + self.length, *found = NULL;
    if (!run->failed && mark.length == 0)
        jinja_fail(run, "cannot split at an empty text");
    if (run->failed)
        return jinja_none();
    jinja_charge(run, self.length / 16);
    if (self.length)
        found = right ? find_last(run, self.text, end, mark)
                      : memmem(self.text, self.length, mark.text, mark.length);
    struct jinja_value none = jinja_literal("");
    jinja_list_add(run, &list,
                   right && !found ? none
                                   : jinja_slice_of(self.text, found ? (size_t)(found - self.text)
                                                                     : self.length));
    jinja_list_add(run, &list, found ? mark : none);
    if (found)
        add_part(run, &list, found + mark.length, end);
    else
        jinja_list_add(run, &list, right ? self : none);
    return jinja_list_value(run, JINJA_TUPLE, list);
}

METHOD(do_partition)
{
    return partition(run, self, arguments, false);
}

METHOD(do_rpartition)
{
    return partition(run, self, arguments, true);
}

METHOD(do_join)
{
    struct jinja_list list;
    struct buffer out = {0};
    if (!jinja_items(run, jinja_argument(run, arguments, 0, NULL), &list))
        return jinja_none();
    for (size_t i = 0; i < list.count && !run->failed; i++) {
        if (list.items[i].type != JINJA_TEXT)
            jinja_fail(run, "join() of a text wants texts, not %s", jinja_type_name(list.items[i]));
        if (i)
            jinja_print(run, self, &out);
        jinja_print(run, list.items[i], &out);
    }
    return jinja_take(run, &out);
}

/* Searching. */

/* The part of the text that arguments 1 and 2 name; *from is its first character. */
static struct jinja_value part_of(struct jinja_run *run, struct jinja_value self,
                                  const struct jinja_arguments *arguments, int64_t *from)
{
    int64_t length = (int64_t)jinja_characters(self.text, self.length);
    int64_t start = jinja_argument_int(run, arguments, 1, NULL, 0);
    int64_t end = jinja_argument_int(run, arguments, 2, NULL, length);
    start += start < 0 ? length : 0;
    *from = start < 0 ? 0 : start;
    jinja_charge(run, 1 + self.length / 64);
    if (arguments->items.count < 2)
        return self;
    return jinja_slice(run, self, jinja_int(*from), jinja_int(end), jinja_none());
}

static bool touches(struct jinja_value text, struct jinja_value piece, bool end)
{
    return piece.length <= text.length &&
           memcmp(end ? text.text + text.length - piece.length : text.text, piece.text,
                  piece.length) == 0;
}

static struct jinja_value begins_or_ends(struct jinja_run *run, struct jinja_value self,
                                         const struct jinja_arguments *arguments, bool end)
{
    struct jinja_value wanted = jinja_argument(run, arguments, 0, NULL);
    struct jinja_list list = {&wanted, 1, 1};
    int64_t from;
    bool found = false;
    struct jinja_value part = part_of(run, self, arguments, &from);
    if (wanted.type == JINJA_TUPLE)
        list = *wanted.list;
    for (size_t i = 0; i < list.count && !run->failed; i++) {
        if (list.items[i].type != JINJA_TEXT)
            jinja_fail(run, "%s() wants a text, not %s", end ? "endswith" : "startswith",
                       jinja_type_name(list.items[i]));
        else
            found |= touches(part, list.items[i], end);
    }
    return jinja_bool(found);
}

METHOD(do_startswith)
{
    return begins_or_ends(run, self, arguments, false);
}

METHOD(do_endswith)
{
    return begins_or_ends(run, self, arguments, true);
}

/* The first or last place of a piece, in characters; -1 when there is none. */
static int64_t place_of(struct jinja_run *run, struct jinja_value self,
                        const struct jinja_arguments *arguments, bool last)
{
    struct jinja_value piece = text_argument(run, arguments, 0, NULL, false);
    int64_t from;
    struct jinja_value part = part_of(run, self, arguments, &from);
    if (run->failed || part.length < piece.length)
        return -1;
    const char *found = last ? find_last(run, part.text, part.text + part.length, piece)
                        : piece.length == 0
                            ? part.text
                            : memmem(part.text, part.length, piece.text, piece.length);
    if (!found)
        return -1;
    bool cut = arguments->items.count >= 2;
    return (cut ? from : 0) + (int64_t)jinja_characters(part.text, (size_t)(found - part.text));
}

METHOD(do_find)
{
    return jinja_int(place_of(run, self, arguments, false));
}

METHOD(do_rfind)
{
    return jinja_int(place_of(run, self, arguments, true));
}

METHOD(do_index)
{
    int64_t place = place_of(run, self, arguments, false);
    return place < 0 ? jinja_fail(run, "the text has no such part") : jinja_int(place);
}

METHOD(do_count)
{
    struct jinja_value piece = text_argument(run, arguments, 0, NULL, false);
    int64_t from, count = 0;
    struct jinja_value part = part_of(run, self, arguments, &from);
    if (piece.length == 0)
        return jinja_int((int64_t)jinja_characters(part.text, part.length) + 1);
    const char *at = part.text, *end = at + part.length;
    for (const char *found;
         at < end && (found = memmem(at, (size_t)(end - at), piece.text, piece.length)); count++)
        at = found + piece.length;
    return jinja_int(count);
}

struct jinja_value jinja_replace(struct jinja_run *run, struct jinja_value text,
                                 struct jinja_value old, struct jinja_value new, int64_t most)
{
    struct buffer out = {0};
    const char *at = text.text, *end = at + text.length, *found;
    int64_t count = 0;
    jinja_charge(run, text.length / 16);
    if (old.length == 0) {
        for (; (most < 0 || count < most) && !run->failed; count++) {
            jinja_print(run, new, &out);
            if (at >= end)
                break;
            size_t width = jinja_offset(at, (size_t)(end - at), 1);
            buffer_add(&out, at, width);
            at += width;
            jinja_charge(run, 1);
        }
    }
    while (old.length && at < end && (most < 0 || count < most) && !run->failed &&
           (found = memmem(at, (size_t)(end - at), old.text, old.length))) {
        buffer_add(&out, at, (size_t)(found - at));
        jinja_print(run, new, &out);
        at = found + old.length;
        count++;
        jinja_charge(run, 1);
    }
    if (count == 0) {
        buffer_free(&out);
        return text;
    }
    buffer_add(&out, at, (size_t)(end - at));
    return jinja_take(run, &out);
}

METHOD(do_replace)
{
    struct jinja_value old = text_argument(run, arguments, 0, NULL, false);
    struct jinja_value new = text_argument(run, arguments, 1, NULL, false);
    int64_t most = jinja_argument_int(run, arguments, 2, "count", -1);
    return run->failed ? jinja_none() : jinja_replace(run, self, old, new, most);
}

METHOD(do_removeprefix)
{
    struct jinja_value piece = text_argument(run, arguments, 0, NULL, false);
    size_t cut = !run->failed && touches(self, piece, false) ? piece.length : 0;
    return jinja_slice_of(self.text + cut, self.length - cut);
}

METHOD(do_removesuffix)
{
    struct jinja_value piece = text_argument(run, arguments, 0, NULL, false);
    size_t cut = !run->failed && touches(self, piece, true) ? piece.length : 0;
    return jinja_slice_of(self.text, self.length - cut);
}

/* Padding. */

static struct jinja_value pad(struct jinja_run *run, struct jinja_value self, int64_t left,
                              int64_t right, struct jinja_value fill)
{
    struct buffer out = {0};
    for (int64_t i = 0; i < left && !run->failed; i++)
        jinja_print(run, fill, &out);
    jinja_print(run, self, &out);
    for (int64_t i = 0; i < right && !run->failed; i++)
        jinja_print(run, fill, &out);
    return jinja_take(run, &out);
}

/* Characters that are missing, of a width of at most the output. */
static int64_t padding(struct jinja_run *run, struct jinja_value self,
                       const struct jinja_arguments *arguments, int64_t usual)
{
    int64_t width = jinja_argument_int(run, arguments, 0, "width", usual);
    int64_t missing = width - (int64_t)jinja_characters(self.text, self.length);
    if (width > (int64_t)JINJA_OUTPUT_MOST)
        jinja_fail(run, "a width is too large");
    jinja_charge(run, missing > 0 && width <= (int64_t)JINJA_OUTPUT_MOST ? (size_t)missing / 8 : 0);
    return missing > 0 && !run->failed ? missing : 0;
}

static struct jinja_value filling(struct jinja_run *run, const struct jinja_arguments *arguments)
{
    struct jinja_value fill = text_argument(run, arguments, 1, NULL, true);
    if (fill.type == JINJA_TEXT && jinja_characters(fill.text, fill.length) != 1)
        jinja_fail(run, "what is filled with must be one character");
    return fill.type == JINJA_TEXT ? fill : jinja_literal(" ");
}

METHOD(do_ljust)
{
    return pad(run, self, 0, padding(run, self, arguments, 0), filling(run, arguments));
}

METHOD(do_rjust)
{
    return pad(run, self, padding(run, self, arguments, 0), 0, filling(run, arguments));
}

METHOD(do_center)
{
    int64_t missing = padding(run, self, arguments, 80);
    int64_t width = missing + (int64_t)jinja_characters(self.text, self.length);
    int64_t left = missing / 2 + (missing & width & 1); /* as CPython does */
    return pad(run, self, left, missing - left, filling(run, arguments));
}

METHOD(do_zfill)
{
    int64_t missing = padding(run, self, arguments, 0);
    bool sign = self.length && (self.text[0] == '-' || self.text[0] == '+');
    struct jinja_value digits = jinja_slice_of(self.text + sign, self.length - sign);
    struct jinja_value filled = pad(run, digits, missing, 0, jinja_literal("0"));
    return sign && !run->failed ? jinja_join(run, jinja_slice_of(self.text, 1), filled) : filled;
}

struct jinja_value jinja_center(struct jinja_run *run, struct jinja_value text,
                                const struct jinja_arguments *arguments)
{
    return do_center(run, text, arguments);
}

/* What all characters are. */

static bool all_are(struct jinja_value self, bool letters, bool digits, bool spaces)
{
    for (size_t at = 0, width; at < self.length; at += width) {
        enum char_class class = unicode_class(self.text + at, self.length - at, &width);
        uint32_t point = 0;
        unicode_decode(self.text + at, self.length - at, &point);
        bool digit = class == CHAR_NUMBER &&
                     utf8proc_category((utf8proc_int32_t)point) != UTF8PROC_CATEGORY_NL;
        if (!((letters && class == CHAR_LETTER) || (digits && digit) ||
              (spaces && jinja_is_space(point))))
            return false;
    }
    return self.length > 0;
}

METHOD(do_isalpha)
{
    (void)run, (void)arguments;
    return jinja_bool(all_are(self, true, false, false));
}

METHOD(do_isdigit)
{
    (void)run, (void)arguments;
    return jinja_bool(all_are(self, false, true, false));
}

METHOD(do_isalnum)
{
    (void)run, (void)arguments;
    return jinja_bool(all_are(self, true, true, false));
}

METHOD(do_isspace)
{
    (void)run, (void)arguments;
    return jinja_bool(all_are(self, false, false, true));
}

static struct jinja_value all_case(struct jinja_run *run, struct jinja_value self, const char *test)
{
    const struct jinja_arguments none = {0};
    return jinja_bool(jinja_apply_test(run, jinja_literal(test), self, &none));
}

METHOD(do_isupper)
{
    (void)arguments;
    return all_case(run, self, "upper");
}

METHOD(do_islower)
{
    (void)arguments;
    return all_case(run, self, "lower");
}

METHOD(do_format)
{
    return jinja_format(run, self, arguments);
}

const struct jinja_function jinja_text_methods[] = {
    {"strip", do_strip},
    {"lstrip", do_lstrip},
    {"rstrip", do_rstrip},
    {"upper", do_upper},
    {"lower", do_lower},
    {"title", do_title},
    {"capitalize", do_capitalize},
    {"swapcase", do_swapcase},
    {"casefold", do_lower},
    {"split", do_split},
    {"rsplit", do_rsplit},
    {"splitlines", do_splitlines},
    {"partition", do_partition},
    {"rpartition", do_rpartition},
    {"join", do_join},
    {"startswith", do_startswith},
    {"endswith", do_endswith},
    {"find", do_find},
    {"rfind", do_rfind},
    {"index", do_index},
    {"count", do_count},
    {"replace", do_replace},
    {NULL, NULL},
};

const struct jinja_function jinja_more_text_methods[] = {
    {"removeprefix", do_removeprefix},
    {"removesuffix", do_removesuffix},
    {"ljust", do_ljust},
    {"rjust", do_rjust},
    {"center", do_center},
    {"zfill", do_zfill},
    {"isalpha", do_isalpha},
    {"isdigit", do_isdigit},
    {"isnumeric", do_isdigit},
    {"isdecimal", do_isdigit},
    {"isalnum", do_isalnum},
    {"isspace", do_isspace},
    {"isupper", do_isupper},
    {"islower", do_islower},
    {"format", do_format},
    {NULL, NULL},
};
