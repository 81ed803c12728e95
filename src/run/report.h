/* The report: one self-contained HTML page about a run on the ledger. */
#ifndef RUN_REPORT_H
#define RUN_REPORT_H

#include "run/ledger.h"

/* Writes the page about run `id`; of an adaptation it shows the whole chain. */
enum status report_write(struct ledger *ledger, int64_t id, const char *path, struct error *error);
/* Whether the file at `path` begins as such a page does: then it can be made again from a ledger.
 */
bool report_is_page(const char *path);

#endif
