/* Memory for large tables that are looked into anywhere: on huge pages where the system has them,
 * since small ones would miss the processor's table of pages at each look, and cost more to take.
 */
#ifndef BASE_PAGES_H
#define BASE_PAGES_H

#include <stddef.h>

/* Memory of `bytes`, not cleared, or NULL. Free with free(). */
void *pages_take(size_t bytes);

/* Asks for huge pages for the whole ones within memory that was taken otherwise; a hint, no more.
 */
void pages_hint(void *memory, size_t bytes);

#endif
