/* The ledger: every run, what it was asked, what went in, what came out, and its figures over time,
 * in one SQLite file. Several processes may write at once; a killed run stays as "running" and is
 * marked as lost when its process is gone. */
#ifndef RUN_LEDGER_H
#define RUN_LEDGER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

struct ledger;

enum status ledger_open(const char *path, struct ledger **ledger, struct error *error);
void ledger_close(struct ledger *ledger);

struct ledger_run {
    int64_t id;
    char command[64];
    char status[16];                /* running, done, failed, stopped, lost */
    char started[32], finished[32]; /* UTC, ISO 8601 */
    double seconds;
};

/* Begins a run. `key` identifies command, options and inputs for reuse; `parent` 0: none. */
enum status ledger_begin(struct ledger *ledger, const char *command, const json_t *options,
                         const char *key, int64_t seed, int64_t parent, int64_t *id,
                         struct error *error);
/* One figure; step -1 for a result of the whole run. Written at the latest when another function of
 * the ledger needs it, or a second later with the next figure; an error may be an earlier one's. */
enum status ledger_metric(struct ledger *ledger, int64_t run, const char *name, int64_t step,
                          double value, struct error *error);
/* Gives a run that goes on where run `before` was interrupted the figures of its steps, so that its
 * curves begin at the beginning. Steps behind the last checkpoint are made, and recorded, again. */
enum status ledger_take_over(struct ledger *ledger, int64_t before, int64_t run,
                             struct error *error);
/* A file or folder that went in or came out, with its hash ("" when unknown). */
enum status ledger_file(struct ledger *ledger, int64_t run, bool output, const char *path,
                        const char *hash, struct error *error);
/* Ends a run; `result` is kept as JSON, `message` is the error's, both may be NULL. */
enum status ledger_finish(struct ledger *ledger, int64_t run, const char *status,
                          const json_t *result, const char *message, struct error *error);

/* The newest finished run of that key whose outputs are all unchanged; *id 0 when there is none.
 * *result is a new reference or NULL. */
enum status ledger_reusable(struct ledger *ledger, const char *key, int64_t *id, json_t **result,
                            struct error *error);

/* The newest run of `command` whose option --output is `output`; *id 0 when there is none.
 * *unfinished says whether it had that key and did not come to its end, so that what it has left
 * there can be gone on from. */
enum status ledger_newest(struct ledger *ledger, const char *command, const char *output,
                          const char *key, int64_t *id, bool *unfinished, struct error *error);

/* Whether `output` is, unchanged, what a finished run of `command` has made as a step of `recipe`:
 * its options --output and "recipe" say so, and every file that it made is as it was left. */
enum status ledger_made(struct ledger *ledger, const char *command, const char *output,
                        const char *recipe, bool *made, struct error *error);

/* Everything about one run: {id, command, status, started, finished, seconds, seed, options,
 * result, error, inputs, outputs, metrics: {name: [[step, value], ...]}}. New reference. */
enum status ledger_read(struct ledger *ledger, int64_t id, json_t **run, struct error *error);
/* Ids of all runs, oldest first; allocated. */
enum status ledger_list(struct ledger *ledger, int64_t **ids, int64_t *count, struct error *error);

/* Hex hash of a file's bytes, or of all files under a folder with their names. */
enum status ledger_hash_path(const char *path, char hash[33], struct error *error);

#endif
