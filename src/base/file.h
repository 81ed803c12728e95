/* Files as the rest of adze wants them: read whole or mapped, written under a temporary name and
 * moved into place only when complete, folders listed in one order everywhere. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buffer.h"
#include "base/error.h"

/* Appends the file's bytes to `buffer`; fails when it has more than `limit` bytes (0: no limit). */
enum status file_read(const char *path, uint64_t limit, struct buffer *buffer, struct error *error);

/* A read-only mapping of a whole file. `data` is NULL for an empty file, which is no error. */
struct file_map {
    const unsigned char *data;
    size_t length;
};
enum status file_map_open(const char *path, struct file_map *map, struct error *error);
void file_map_close(struct file_map *map);

/* A file that appears at `path` only when it is complete: written as `path.XXXXXX` beside it,
 * flushed to the disk and renamed by file_writer_commit. Every write error (a full disk, say) is
 * kept and reported by commit, so writes need no checks in between. */
struct file_writer {
    FILE *stream; /* write with stdio */
    char *path;
    char *temporary;
};
enum status file_writer_open(struct file_writer *writer, const char *path, struct error *error);
enum status file_writer_commit(struct file_writer *writer, struct error *error);
void file_writer_abort(struct file_writer *writer); /* no-op after commit */

/* Takes a folder for this process, until *lock is closed or the process ends, however it ends.
 * Fails when another process holds it; where folders cannot be locked it succeeds, with *lock -1.
 */
enum status file_lock_folder(const char *path, int *lock, struct error *error);

/* Removes the temporary files that killed writers of `names` (ended by NULL) have left in a folder.
 * Only for files that nobody writes now. */
void file_remove_leftovers(const char *folder, const char *const *names);

/* Whole-buffer form of the above. */
enum status file_write_atomic(const char *path, const void *bytes, size_t length,
                              struct error *error);

bool file_exists(const char *path);
/* Whether there is a device, a pipe or a socket: results are put in place of files only. */
bool file_is_special(const char *path);
bool file_is_folder(const char *path);
enum status file_size(const char *path, uint64_t *bytes, struct error *error);
enum status file_make_folders(const char *path, struct error *error); /* like mkdir -p */
/* Removes a file, or a folder with everything in it; a missing path is no error. */
enum status file_remove_tree(const char *path, struct error *error);

struct file_list {
    char **paths; /* sorted by byte order, each starting with the folder as it was given */
    size_t count;
};
/* All regular files under `folder`, recursively; names that start with '.' are left out. Symbolic
 * links to files count as files, links to folders are not followed. */
enum status file_list_folder(const char *folder, struct file_list *list, struct error *error);
void file_list_free(struct file_list *list);

/* "folder/name", allocated; NULL when out of memory. */
char *file_join(const char *folder, const char *name);

#endif
