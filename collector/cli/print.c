#include "collector/cli/print.h"

#include "common/text.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR_WIDTH 24

static const char *const codes[] = {"", "\033[1m", "\033[2m", "\033[32m", "\033[31m", "\033[33m"};

static size_t width_of(int fd)
{
    struct winsize size;

    if (!isatty(fd))
        return 0;
    return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

size_t print_terminal_width(void)
{
    return width_of(STDOUT_FILENO);
}

bool print_has_colour(void)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

    return isatty(STDOUT_FILENO) && !(no_color && *no_color) &&
           !(term && strcmp(term, "dumb") == 0);
}

size_t print_width(const char *text)
{
    size_t width = 0;

    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static size_t bytes_of(const char *text, size_t columns)
{
    size_t bytes = 0, width = 0;

    while (text[bytes]) {
        width += ((unsigned char)text[bytes] & 0xc0) != 0x80;
        if (width > columns)
            break;
        bytes++;
    }
    return bytes;
}

void print_coloured(enum colour colour, const char *text, size_t width)
{
    bool is_coloured = colour != PLAIN && print_has_colour();
    bool is_cut = print_width(text) > width;

    printf("%s%.*s%s%s", is_coloured ? codes[colour] : "",
           (int)bytes_of(text, is_cut && width ? width - 1 : width), text, is_cut ? "~" : "",
           is_coloured ? "\033[0m" : "");
}

enum colour print_state_colour(const char *state)
{
    static const struct {
        const char *state;
        enum colour colour;
    } colours[] = {
        {"ok", GREEN},       {"denied", GREEN},    {"fail", RED},       {"leak", RED},
        {"partial", YELLOW}, {"unproven", YELLOW}, {"no-data", YELLOW}, {"probe-error", YELLOW},
        {"gone", DIM},       {"skipped", DIM},     {"n/a", DIM},        {"not-probed", DIM},
    };

    for (size_t i = 0; i < ARRAY_SIZE(colours); i++)
        if (strcmp(colours[i].state, state) == 0)
            return colours[i].colour;
    return PLAIN;
}

void print_json(const struct cJSON *value)
{
    char *text = cJSON_Print(value);

    if (text)
        puts(text);
    free(text);
}

void print_progress(const char *text, size_t done, size_t total)
{
    char line[BAR_WIDTH + 160], bar[BAR_WIDTH + 1];
    size_t filled = total ? done * BAR_WIDTH / total : 0, width = width_of(STDERR_FILENO);

    if (!width)
        return;
    for (size_t i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < filled ? '#' : '.';
    bar[BAR_WIDTH] = '\0';
    snprintf(line, sizeof(line), "[%s] %s", bar, text);
    /* One column is left free: a full line would wrap. */
    fprintf(stderr, "\r\033[K%.*s", (int)width - 1, line);
}

void print_progress_end(void)
{
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}

void print_markdown(const char *text)
{
    for (; *text; text++) {
        if (strchr("\\`*_{}[]<>|#", *text))
            putchar('\\');
        putchar(*text == '\n' ? ' ' : *text);
    }
}
