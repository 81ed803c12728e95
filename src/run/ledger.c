/* See ledger.h. */
#include "run/ledger.h"

#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/file.h"
#include "base/json_text.h"

#define PENDING 256 /* figures kept back at most */

struct figure {
    int64_t run, step;
    char name[64];
    double value;
};

/* Figures are written in one transaction about once a second: a transaction waits for the disk
 * several times, which took longer than the steps of a small model. */
struct ledger {
    sqlite3 *db;
    char *path;
    struct figure pending[PENDING];
    int count;
    double written; /* when, in seconds */
};

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS runs (id INTEGER PRIMARY KEY, command TEXT NOT NULL, status TEXT "
    "NOT NULL, started TEXT NOT NULL, finished TEXT, began REAL NOT NULL, seconds REAL, seed "
    "INTEGER, key TEXT, parent INTEGER, process INTEGER, options TEXT, result TEXT, error TEXT);"
    "CREATE TABLE IF NOT EXISTS metrics (run INTEGER NOT NULL, name TEXT NOT NULL, step INTEGER "
    "NOT NULL, value REAL, PRIMARY KEY (run, name, step)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS files (run INTEGER NOT NULL, output INTEGER NOT NULL, path TEXT "
    "NOT NULL, hash TEXT NOT NULL);"
    "CREATE INDEX IF NOT EXISTS runs_by_key ON runs (key);"
    "CREATE INDEX IF NOT EXISTS files_by_run ON files (run);";

static enum status failed(const struct ledger *l, struct error *error)
{
    return error_set(error, STATUS_FAILED, "%s: ledger: %s", l->path, sqlite3_errmsg(l->db));
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Binds values by a format: i int64_t, r double, t text (NULL allowed). */
static sqlite3_stmt *prepare(struct ledger *l, const char *sql, const char *format, ...)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(l->db, sql, -1, &statement, NULL) != SQLITE_OK)
        return NULL;
    va_list values;
    va_start(values, format);
    for (int i = 0; format[i]; i++) {
        if (format[i] == 'i')
            sqlite3_bind_int64(statement, i + 1, va_arg(values, int64_t));
        else if (format[i] == 'r')
            sqlite3_bind_double(statement, i + 1, va_arg(values, double));
        else
            sqlite3_bind_text(statement, i + 1, va_arg(values, const char *), -1, SQLITE_TRANSIENT);
    }
    va_end(values);
    return statement;
}

static enum status execute(struct ledger *l, sqlite3_stmt *statement, struct error *error)
{
    if (!statement)
        return failed(l, error);
    int code = sqlite3_step(statement);
    enum status status = code == SQLITE_DONE || code == SQLITE_ROW ? STATUS_OK : failed(l, error);
    sqlite3_finalize(statement);
    return status;
}

/* Writes the figures that have been kept back. */
static enum status write_pending(struct ledger *l, struct error *error)
{
    int count = l->count;
    l->count = 0;
    l->written = now();
    if (count == 0)
        return STATUS_OK;
    enum status status = execute(l, prepare(l, "BEGIN IMMEDIATE", ""), error);
    if (status != STATUS_OK)
        return status;
    for (int i = 0; i < count && status == STATUS_OK; i++) {
        const struct figure *f = &l->pending[i];
        status = execute(l,
                         prepare(l, "INSERT OR REPLACE INTO metrics VALUES (?, ?, ?, ?)", "itir",
                                 f->run, f->name, f->step, f->value),
                         error);
    }
    if (status == STATUS_OK)
        return execute(l, prepare(l, "COMMIT", ""), error);
    execute(l, prepare(l, "ROLLBACK", ""), NULL);
    return status;
}

/* Runs whose process is gone without a word are lost; process numbers are only valid on the same
 * boot, which is good enough for a hint. */
static enum status mark_lost(struct ledger *l, struct error *error)
{
    if (sqlite3_db_readonly(l->db, "main") == 1)
        return STATUS_OK; /* another's ledger, to be looked at */
    sqlite3_stmt *query = prepare(l, "SELECT id, process FROM runs WHERE status = 'running'", "");
    enum status status = query ? STATUS_OK : failed(l, error);
    while (query && sqlite3_step(query) == SQLITE_ROW && status == STATUS_OK) {
        pid_t process = (pid_t)sqlite3_column_int64(query, 1);
        if (process <= 0 || (kill(process, 0) != 0 && errno == ESRCH))
            status = execute(l,
                             prepare(l, "UPDATE runs SET status = 'lost' WHERE id = ?", "i",
                                     (int64_t)sqlite3_column_int64(query, 0)),
                             error);
    }
    sqlite3_finalize(query);
    return status;
}

enum status ledger_open(const char *path, struct ledger **result, struct error *error)
{
    *result = NULL;
    if (file_is_special(path)) /* SQLite would leave a journal beside it */
        return error_set(error, STATUS_FAILED, "%s: not a regular file", path);
    struct ledger *l = calloc(1, sizeof *l);
    if (!l || !(l->path = strdup(path))) {
        free(l);
        return error_no_memory(error, sizeof *l);
    }
    char *message = NULL;
    if (sqlite3_open(path, &l->db) != SQLITE_OK) {
        enum status status = failed(l, error);
        ledger_close(l);
        return status;
    }
    sqlite3_busy_timeout(l->db, 20000);
    if (sqlite3_exec(l->db, schema, NULL, NULL, &message) != SQLITE_OK) {
        error_set(error, STATUS_FAILED, "%s: not usable as a ledger: %s", path,
                  message ? message : sqlite3_errmsg(l->db));
        sqlite3_free(message);
        ledger_close(l);
        return STATUS_FAILED;
    }
    enum status status = mark_lost(l, error);
    if (status != STATUS_OK) {
        ledger_close(l);
        return status;
    }
    *result = l;
    return STATUS_OK;
}

void ledger_close(struct ledger *l)
{
    if (!l)
        return;
    write_pending(l, NULL);
    sqlite3_close(l->db);
    free(l->path);
    free(l);
}

enum status ledger_begin(struct ledger *l, const char *command, const json_t *options,
                         const char *key, int64_t seed, int64_t parent, int64_t *id,
                         struct error *error)
{
    char *text = json_dumps(options, JSON_COMPACT | JSON_SORT_KEYS);
    enum status status = execute(
        l,
        prepare(l,
                "INSERT INTO runs (command, status, started, began, seed, key, parent, process, "
                "options) VALUES (?, 'running', strftime('%Y-%m-%dT%H:%M:%SZ', 'now'), "
                "julianday('now'), ?, ?, ?, ?, ?)",
                "titiit", command, seed, key, parent, (int64_t)getpid(), text),
        error);
    *id = sqlite3_last_insert_rowid(l->db);
    free(text);
    return status;
}

enum status ledger_metric(struct ledger *l, int64_t run, const char *name, int64_t step,
                          double value, struct error *error)
{
    struct figure *f = &l->pending[l->count++];
    *f = (struct figure){.run = run, .step = step, .value = value};
    snprintf(f->name, sizeof f->name, "%s", name);
    if (l->count == PENDING || now() - l->written >= 1)
        return write_pending(l, error);
    return STATUS_OK;
}

enum status ledger_take_over(struct ledger *l, int64_t before, int64_t run, struct error *error)
{
    return execute(l,
                   prepare(l,
                           "INSERT OR IGNORE INTO metrics SELECT ?, name, step, value FROM metrics "
                           "WHERE run = ? AND step >= 0",
                           "ii", run, before),
                   error);
}

enum status ledger_file(struct ledger *l, int64_t run, bool output, const char *path,
                        const char *hash, struct error *error)
{
    return execute(l,
                   prepare(l, "INSERT INTO files VALUES (?, ?, ?, ?)", "iitt", run, (int64_t)output,
                           path, hash),
                   error);
}

enum status ledger_finish(struct ledger *l, int64_t run, const char *word, const json_t *result,
                          const char *message, struct error *error)
{
    enum status status = write_pending(l, error);
    if (status != STATUS_OK)
        return status;
    char *text = result ? json_dumps(result, JSON_COMPACT | JSON_REAL_PRECISION(12)) : NULL;
    status =
        execute(l,
                prepare(l,
                        "UPDATE runs SET status = ?, finished = strftime('%Y-%m-%dT%H:%M:%SZ', "
                        "'now'), seconds = (julianday('now') - began) * 86400.0, result = ?, error "
                        "= ? WHERE id = ?",
                        "ttti", word, text, message, run),
                error);
    free(text);
    return status;
}

/* Hashing. */

static enum status hash_file(const char *path, XXH3_state_t *state, struct error *error)
{
    struct file_map map;
    enum status status = file_map_open(path, &map, error);
    if (status == STATUS_OK && map.length > 0)
        XXH3_128bits_update(state, map.data, map.length);
    file_map_close(&map);
    return status;
}

enum status ledger_hash_path(const char *path, char hash[33], struct error *error)
{
    XXH3_state_t *state = XXH3_createState();
    if (!state)
        return error_no_memory(error, 576);
    XXH3_128bits_reset(state);
    enum status status = STATUS_OK;
    if (file_is_folder(path)) {
        struct file_list list = {0};
        status = file_list_folder(path, &list, error);
        for (size_t i = 0; i < list.count && status == STATUS_OK; i++) {
            const char *name = list.paths[i] + strlen(path);
            XXH3_128bits_update(state, name, strlen(name) + 1);
            /* What cannot be read is counted as a bad record by whoever reads the folder. */
            if (access(list.paths[i], R_OK) == 0)
                status = hash_file(list.paths[i], state, error);
        }
        file_list_free(&list);
    } else {
        status = hash_file(path, state, error);
    }
    XXH128_hash_t digest = XXH3_128bits_digest(state);
    snprintf(hash, 33, "%016llx%016llx", (unsigned long long)digest.high64,
             (unsigned long long)digest.low64);
    XXH3_freeState(state);
    return status;
}

/* Whether all outputs of a run are there and unchanged. */
static bool outputs_unchanged(struct ledger *l, int64_t run)
{
    sqlite3_stmt *query =
        prepare(l, "SELECT path, hash FROM files WHERE run = ? AND output = 1", "i", run);
    bool same = query != NULL;
    while (same && sqlite3_step(query) == SQLITE_ROW) {
        const char *path = (const char *)sqlite3_column_text(query, 0);
        const char *before = (const char *)sqlite3_column_text(query, 1);
        char hash[33];
        same = file_exists(path) && ledger_hash_path(path, hash, NULL) == STATUS_OK &&
               strcmp(hash, before) == 0;
    }
    sqlite3_finalize(query);
    return same;
}

enum status ledger_reusable(struct ledger *l, const char *key, int64_t *id, json_t **result,
                            struct error *error)
{
    *id = 0;
    *result = NULL;
    sqlite3_stmt *query =
        prepare(l, "SELECT id, result FROM runs WHERE key = ? AND status = 'done' ORDER BY id DESC",
                "t", key);
    if (!query)
        return failed(l, error);
    while (*id == 0 && sqlite3_step(query) == SQLITE_ROW) {
        int64_t run = sqlite3_column_int64(query, 0);
        if (!outputs_unchanged(l, run))
            continue;
        *id = run;
        const char *text = (const char *)sqlite3_column_text(query, 1);
        *result = text ? json_loads(text, 0, NULL) : NULL;
    }
    sqlite3_finalize(query);
    return STATUS_OK;
}

enum status ledger_newest(struct ledger *l, const char *command, const char *output,
                          const char *key, int64_t *id, bool *unfinished, struct error *error)
{
    *id = 0;
    *unfinished = false;
    sqlite3_stmt *query = prepare(l,
                                  "SELECT id, key = ? AND status <> 'done' FROM runs WHERE command "
                                  "= ? AND json_extract(options, '$.output') = ? ORDER BY id DESC "
                                  "LIMIT 1",
                                  "ttt", key, command, output);
    if (!query)
        return failed(l, error);
    int code = sqlite3_step(query);
    if (code == SQLITE_ROW) {
        *id = sqlite3_column_int64(query, 0);
        *unfinished = sqlite3_column_int(query, 1) != 0;
    }
    enum status status = code == SQLITE_ROW || code == SQLITE_DONE ? STATUS_OK : failed(l, error);
    sqlite3_finalize(query);
    return status;
}

enum status ledger_made(struct ledger *l, const char *command, const char *output,
                        const char *recipe, bool *made, struct error *error)
{
    *made = false;
    sqlite3_stmt *query = prepare(
        l,
        "SELECT id FROM runs WHERE command = ? AND status = 'done' AND json_extract(options, "
        "'$.output') = ? AND json_extract(options, '$.recipe') = ? AND EXISTS (SELECT 1 FROM files "
        "WHERE run = runs.id AND output = 1) ORDER BY id DESC",
        "ttt", command, output, recipe);
    if (!query)
        return failed(l, error);
    int code;
    while ((code = sqlite3_step(query)) == SQLITE_ROW && !*made)
        *made = outputs_unchanged(l, sqlite3_column_int64(query, 0));
    enum status status = code == SQLITE_ROW || code == SQLITE_DONE ? STATUS_OK : failed(l, error);
    sqlite3_finalize(query);
    return status;
}

/* Reading. */

static json_t *json_of_text(const unsigned char *text)
{
    json_t *value = text ? json_loads((const char *)text, JSON_DECODE_ANY, NULL) : NULL;
    return value ? value : json_null();
}

static json_t *read_metrics(struct ledger *l, int64_t id)
{
    json_t *all = json_object();
    sqlite3_stmt *query = prepare(
        l, "SELECT name, step, value FROM metrics WHERE run = ? ORDER BY name, step", "i", id);
    while (query && sqlite3_step(query) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(query, 0);
        json_t *list = json_object_get(all, name);
        if (!list) {
            list = json_array();
            json_object_set_new(all, name, list);
        }
        json_array_append_new(list, json_pack("[I,f]", (json_int_t)sqlite3_column_int64(query, 1),
                                              sqlite3_column_double(query, 2)));
    }
    sqlite3_finalize(query);
    return all;
}

static json_t *read_files(struct ledger *l, int64_t id, bool output)
{
    json_t *list = json_array();
    sqlite3_stmt *query = prepare(l, "SELECT path, hash FROM files WHERE run = ? AND output = ?",
                                  "ii", id, (int64_t)output);
    while (query && sqlite3_step(query) == SQLITE_ROW)
        json_array_append_new(list,
                              json_pack("{s:o,s:s}", "path",
                                        json_name((const char *)sqlite3_column_text(query, 0)),
                                        "hash", (const char *)sqlite3_column_text(query, 1)));
    sqlite3_finalize(query);
    return list;
}

enum status ledger_read(struct ledger *l, int64_t id, json_t **run, struct error *error)
{
    *run = NULL;
    enum status status = write_pending(l, error);
    if (status != STATUS_OK)
        return status;
    sqlite3_stmt *q = prepare(l,
                              "SELECT command, status, started, finished, seconds, seed, options, "
                              "result, error, parent FROM runs WHERE id = ?",
                              "i", id);
    if (!q)
        return failed(l, error);
    if (sqlite3_step(q) != SQLITE_ROW) {
        sqlite3_finalize(q);
        return error_set(error, STATUS_FAILED, "%s: there is no run %lld", l->path, (long long)id);
    }
    const char *finished = (const char *)sqlite3_column_text(q, 3);
    const char *message = (const char *)sqlite3_column_text(q, 8);
    *run = json_pack("{s:I,s:s,s:s,s:s,s:s?,s:f,s:I,s:o,s:o,s:o,s:I,s:o,s:o,s:o}", "id",
                     (json_int_t)id, "command", (const char *)sqlite3_column_text(q, 0), "status",
                     (const char *)sqlite3_column_text(q, 1), "started",
                     (const char *)sqlite3_column_text(q, 2), "finished", finished, "seconds",
                     sqlite3_column_double(q, 4), "seed", (json_int_t)sqlite3_column_int64(q, 5),
                     "options", json_of_text(sqlite3_column_text(q, 6)), "result",
                     json_of_text(sqlite3_column_text(q, 7)), "error", json_name(message), "parent",
                     (json_int_t)sqlite3_column_int64(q, 9), "inputs", read_files(l, id, false),
                     "outputs", read_files(l, id, true), "metrics", read_metrics(l, id));
    sqlite3_finalize(q);
    return *run ? STATUS_OK : error_no_memory(error, 4096);
}

enum status ledger_list(struct ledger *l, int64_t **ids, int64_t *count, struct error *error)
{
    *ids = NULL;
    *count = 0;
    sqlite3_stmt *query = prepare(l, "SELECT id FROM runs ORDER BY id", "");
    if (!query)
        return failed(l, error);
    enum status status = STATUS_OK;
    while (status == STATUS_OK && sqlite3_step(query) == SQLITE_ROW) {
        int64_t *grown = realloc(*ids, (size_t)(*count + 1) * sizeof *grown);
        if (!grown) {
            status = error_no_memory(error, (size_t)*count * sizeof *grown);
            break;
        }
        *ids = grown;
        (*ids)[(*count)++] = sqlite3_column_int64(query, 0);
    }
    sqlite3_finalize(query);
    return status;
}
