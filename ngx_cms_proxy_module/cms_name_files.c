/* See cms_name_files.h. Both are lines of words; "#" begins a comment. */

#include "cms_name_files.h"

#include "cms_authority.h"

#include <string.h>

/* the next line from *pos on: 1 and its bounds without the comment */
static int
next_line(const unsigned char *text, size_t len, size_t *pos,
          const unsigned char **line, size_t *line_len)
{
    size_t end, i;

    if (*pos >= len) {
        return 0;
    }
    end = *pos;
    while (end < len && text[end] != '\n') {
        end++;
    }
    *line = text + *pos;
    *line_len = end - *pos;
    for (i = 0; i < *line_len; i++) {
        if ((*line)[i] == '#') {
            *line_len = i;
        }
    }
    *pos = end + 1;
    return 1;
}

static int
is_blank(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* the next word of the line from *pos on */
static int
next_word(const unsigned char *line, size_t len, size_t *pos,
          const unsigned char **word, size_t *word_len)
{
    size_t start;

    while (*pos < len && is_blank(line[*pos])) {
        (*pos)++;
    }
    start = *pos;
    while (*pos < len && !is_blank(line[*pos])) {
        (*pos)++;
    }
    *word = line + start;
    *word_len = *pos - start;
    return *word_len > 0;
}

int
cms_hosts_next(const unsigned char *text, size_t len, size_t *pos,
               const unsigned char *name, size_t name_len,
               const unsigned char **address, size_t *address_len)
{
    const unsigned char *line, *word;
    size_t line_len, word_len, at;

    while (next_line(text, len, pos, &line, &line_len)) {
        at = 0;
        if (!next_word(line, line_len, &at, address, address_len)) {
            continue;
        }
        while (next_word(line, line_len, &at, &word, &word_len)) {
            if (cms_authority_same_host(word, word_len, name, name_len)) {
                return 1;
            }
        }
    }
    return 0;
}

int
cms_nameserver_next(const unsigned char *text, size_t len, size_t *pos,
                    const unsigned char **address, size_t *address_len)
{
    const unsigned char *line, *word;
    size_t line_len, word_len, at;

    while (next_line(text, len, pos, &line, &line_len)) {
        at = 0;
        if (line_len && line[0] != ';'
            && next_word(line, line_len, &at, &word, &word_len)
            && word_len == sizeof("nameserver") - 1
            && memcmp(word, "nameserver", word_len) == 0
            && next_word(line, line_len, &at, address, address_len)) {
            return 1;
        }
    }
    return 0;
}
