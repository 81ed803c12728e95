/* Tries the server's page in a headless Chromium, as tests/cli/test_page.sh does. It speaks the
 * DevTools protocol over Chromium's pipe (messages of JSON, each ended by a zero byte), so no
 * driver is needed. Compiled as build/serve_browser.
 *
 *   serve_browser FOLDER SCRIPT URL WIDTH[=PNG]...
 *
 * For each width in pixels it opens URL afresh and runs SCRIPT, the body of an async function of
 * JavaScript, in the page; a picture of the page as it is then goes to PNG. Fails when the script,
 * or the page itself, throws. FOLDER is where Chromium keeps its things. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/file.h"

#define HEIGHT 760   /* pixels, of every window */
#define PATIENCE 240 /* seconds, for everything */

struct browser {
    pid_t process;
    int to, from; /* the ends of its pipes */
    struct buffer got;
    char *session; /* of the page; NULL before there is one */
    int last;      /* number of the last message sent */
    bool loaded;   /* the page has told so */
    bool thrown;   /* the page has thrown something that nobody caught */
};

static _Noreturn void fail(const char *what, const char *cause)
{
    fprintf(stderr, "serve_browser: %s: %s\n", what, cause);
    exit(1);
}

static void start(struct browser *browser, const char *folder)
{
    int in[2], out[2];
    char data[4096];
    snprintf(data, sizeof data, "--user-data-dir=%s", folder);
    if (pipe(in) != 0 || pipe(out) != 0)
        fail("pipe", strerror(errno));
    browser->process = fork();
    if (browser->process < 0)
        fail("fork", strerror(errno));
    if (browser->process == 0) {
        int read_end = fcntl(in[0], F_DUPFD, 10), write_end = fcntl(out[1], F_DUPFD, 10);
        int null = open("/dev/null", O_WRONLY);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        dup2(read_end, 3); /* where Chromium expects them */
        dup2(write_end, 4);
        for (int i = 5; i < 64; i++)
            close(i);
        execlp("chromium", "chromium", "--headless", "--no-sandbox", "--disable-gpu",
               "--disable-dev-shm-usage", "--remote-debugging-pipe", data, "about:blank",
               (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    browser->to = in[1];
    browser->from = out[0];
}

static void put(struct browser *browser, const char *method, json_t *parameters)
{
    json_t *message =
        json_pack("{s:i,s:s,s:o}", "id", ++browser->last, "method", method, "params", parameters);
    if (browser->session)
        json_object_set_new(message, "sessionId", json_string(browser->session));
    char *text = json_dumps(message, JSON_COMPACT);
    size_t length = strlen(text) + 1;
    for (size_t sent = 0; sent < length;) {
        ssize_t count = write(browser->to, text + sent, length - sent);
        if (count <= 0)
            fail(method, "Chromium is gone");
        sent += (size_t)count;
    }
    free(text);
    json_decref(message);
}

/* The next message; a new reference. */
static json_t *get(struct browser *browser)
{
    char part[65536], *end;
    while (!browser->got.length || !(end = memchr(browser->got.data, 0, browser->got.length))) {
        ssize_t count = read(browser->from, part, sizeof part);
        if (count <= 0)
            fail("chromium", "does not start, or has ended");
        buffer_add(&browser->got, part, (size_t)count);
    }
    json_t *message = json_loads(browser->got.data, 0, NULL);
    size_t used = (size_t)(end - browser->got.data) + 1;
    memmove(browser->got.data, browser->got.data + used, browser->got.length - used);
    browser->got.length -= used;
    return message;
}

static void note_event(struct browser *browser, json_t *message)
{
    const char *method = json_string_value(json_object_get(message, "method"));
    if (method && strcmp(method, "Page.loadEventFired") == 0)
        browser->loaded = true;
    if (method && strcmp(method, "Runtime.exceptionThrown") == 0) {
        browser->thrown = true;
        json_t *details = json_object_get(json_object_get(message, "params"), "exceptionDetails");
        const char *text = json_string_value(
            json_object_get(json_object_get(details, "exception"), "description"));
        fprintf(stderr, "serve_browser: the page throws: %s\n", text ? text : "something");
    }
}

/* Sends a message and waits for its result, a new reference; takes the reference to `parameters`.
 */
static json_t *call(struct browser *browser, const char *method, json_t *parameters)
{
    put(browser, method, parameters);
    for (;;) {
        json_t *message = get(browser);
        if (json_integer_value(json_object_get(message, "id")) == browser->last) {
            const char *cause =
                json_string_value(json_object_get(json_object_get(message, "error"), "message"));
            if (cause)
                fail(method, cause);
            json_t *result = json_incref(json_object_get(message, "result"));
            json_decref(message);
            return result;
        }
        note_event(browser, message);
        json_decref(message);
    }
}

static void attach(struct browser *browser)
{
    json_t *target = call(browser, "Target.createTarget", json_pack("{s:s}", "url", "about:blank"));
    json_t *attached =
        call(browser, "Target.attachToTarget",
             json_pack("{s:O,s:b}", "targetId", json_object_get(target, "targetId"), "flatten", 1));
    browser->session = strdup(json_string_value(json_object_get(attached, "sessionId")));
    json_decref(target);
    json_decref(attached);
    json_decref(call(browser, "Page.enable", json_object()));
    json_decref(call(browser, "Runtime.enable", json_object()));
}

static void take_picture(struct browser *browser, const char *path)
{
    json_t *result = call(browser, "Page.captureScreenshot", json_object());
    const char *letters = json_string_value(json_object_get(result, "data"));
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    FILE *file = fopen(path, "wb");
    if (!file || !letters)
        fail(path, "no picture");
    unsigned bits = 0;
    int count = 0;
    for (; *letters && *letters != '='; letters++) {
        bits = bits << 6 | (unsigned)(strchr(digits, *letters) - digits);
        count += 6;
        if (count >= 8)
            fputc((int)(bits >> (count -= 8) & 255), file);
    }
    fclose(file);
    json_decref(result);
}

/* One width; false when the script or the page has thrown. */
static bool try_page(struct browser *browser, const char *script, const char *url,
                     const char *width)
{
    json_decref(call(browser, "Emulation.setDeviceMetricsOverride",
                     json_pack("{s:i,s:i,s:i,s:b}", "width", atoi(width), "height", HEIGHT,
                               "deviceScaleFactor", 1, "mobile", 0)));
    browser->loaded = browser->thrown = false;
    json_decref(call(browser, "Page.navigate", json_pack("{s:s}", "url", url)));
    while (!browser->loaded) {
        json_t *message = get(browser);
        note_event(browser, message);
        json_decref(message);
    }
    json_t *result = call(browser, "Runtime.evaluate",
                          json_pack("{s:s,s:b}", "expression", script, "awaitPromise", 1));
    json_t *details = json_object_get(result, "exceptionDetails");
    const char *cause =
        json_string_value(json_object_get(json_object_get(details, "exception"), "description"));
    if (details)
        fprintf(stderr, "serve_browser: at %d pixels: %s\n", atoi(width), cause ? cause : "thrown");
    bool good = !details && !browser->thrown;
    json_decref(result);
    if (strchr(width, '='))
        take_picture(browser, strchr(width, '=') + 1);
    return good;
}

int main(int count, char **arguments)
{
    if (count < 5) {
        fprintf(stderr, "serve_browser: see the beginning of tests/serve/browser.c\n");
        return 2;
    }
    struct browser browser = {0};
    struct buffer text = {0}, script = {0};
    struct error error;
    if (file_read(arguments[2], 1 << 20, &text, &error) != STATUS_OK)
        fail("script", error.message);
    buffer_printf(&script, "(async () => {%.*s\n})()", (int)text.length, text.data);
    signal(SIGPIPE, SIG_IGN);
    start(&browser, arguments[1]);
    alarm(PATIENCE); /* ends this program; Chromium ends with its pipe */
    attach(&browser);
    bool good = true;
    for (int i = 4; i < count && good; i++)
        good = try_page(&browser, script.data, arguments[3], arguments[i]);
    free(browser.session);
    browser.session = NULL;
    put(&browser, "Browser.close", json_object());
    waitpid(browser.process, NULL, 0);
    buffer_free(&browser.got);
    buffer_free(&text);
    buffer_free(&script);
    return !good;
}
