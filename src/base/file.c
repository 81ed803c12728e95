/* See file.h. */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum status file_read(const char *path, uint64_t limit, struct buffer *buffer, struct error *error)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return error_set_errno(error, errno, "%s", path);
    struct stat info;
    if (fstat(fileno(file), &info) == 0 && S_ISDIR(info.st_mode)) {
        fclose(file);
        return error_set(error, STATUS_FAILED, "%s: is a folder, not a file", path);
    }
    uint64_t total = 0;
    char block[65536];
    size_t got;
    while ((got = fread(block, 1, sizeof block, file)) > 0) {
        total += got;
        if (limit && total > limit) {
            fclose(file);
            return error_set(error, STATUS_FAILED, "%s: larger than the %llu bytes allowed here",
                             path, (unsigned long long)limit);
        }
        buffer_add(buffer, block, got);
    }
    int number = errno;
    int failed = ferror(file);
    fclose(file);
    if (failed)
        return error_set_errno(error, number, "%s: cannot read", path);
    return buffer_check(buffer, error);
}

enum status file_map_open(const char *path, struct file_map *map, struct error *error)
{
    *map = (struct file_map){0};
    /* Not to wait for a writer when it is a pipe, which cannot be mapped anyway. */
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0)
        return error_set_errno(error, errno, "%s", path);
    struct stat info;
    if (fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
        close(descriptor);
        return error_set(error, STATUS_FAILED, "%s: not a regular file", path);
    }
    map->length = (size_t)info.st_size;
    if (map->length == 0) {
        close(descriptor);
        return STATUS_OK;
    }
    void *data = mmap(NULL, map->length, PROT_READ, MAP_PRIVATE, descriptor, 0);
    int number = errno;
    close(descriptor);
    if (data == MAP_FAILED) {
        *map = (struct file_map){0};
        return error_set_errno(error, number, "%s: cannot map", path);
    }
    map->data = data;
    return STATUS_OK;
}

void file_map_close(struct file_map *map)
{
    if (map->data)
        munmap((void *)map->data, map->length);
    *map = (struct file_map){0};
}

/* A new file beside `path`, whose name goes to `name` (7 bytes longer than the path). Made here and
 * not by mkstemp, whose files only their owner may read, whatever the process's mask says. */
static int open_temporary(char *name, const char *path)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    unsigned long number = (unsigned long)time.tv_nsec ^ (unsigned long)getpid() << 13;
    for (int attempt = 0; attempt < 100; attempt++, number += 7919) {
        sprintf(name, "%s.%06lu", path, number % 1000000);
        int descriptor = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (descriptor >= 0 || errno != EEXIST)
            return descriptor;
    }
    return -1;
}

enum status file_writer_open(struct file_writer *writer, const char *path, struct error *error)
{
    *writer = (struct file_writer){0};
    size_t length = strlen(path);
    if (file_is_special(path)) /* the superuser's rename would put a file in place of /dev/null */
        return error_set(error, STATUS_FAILED, "%s: not a regular file", path);
    writer->path = strdup(path);
    writer->temporary = malloc(length + 8);
    if (!writer->path || !writer->temporary) {
        file_writer_abort(writer);
        return error_no_memory(error, length + 8);
    }
    int descriptor = open_temporary(writer->temporary, path);
    if (descriptor < 0) {
        int number = errno;
        free(writer->temporary);
        writer->temporary = NULL;
        file_writer_abort(writer);
        return error_set_errno(error, number, "%s: cannot write", path);
    }
    writer->stream = fdopen(descriptor, "wb");
    if (!writer->stream) {
        close(descriptor);
        file_writer_abort(writer);
        return error_no_memory(error, BUFSIZ);
    }
    return STATUS_OK;
}

/* Makes the rename itself durable. */
static void sync_parent(const char *path)
{
    char *copy = strdup(path);
    if (!copy)
        return;
    char *slash = strrchr(copy, '/');
    if (slash)
        slash[slash == copy ? 1 : 0] = 0;
    int descriptor = open(slash ? copy : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor >= 0) {
        fsync(descriptor);
        close(descriptor);
    }
    free(copy);
}

enum status file_writer_commit(struct file_writer *writer, struct error *error)
{
    errno = 0;
    int failed = fflush(writer->stream) != 0 || ferror(writer->stream);
    if (!failed)
        failed = fsync(fileno(writer->stream)) != 0;
    /* An earlier write may have failed, its cause forgotten: one more byte brings it out again. */
    if (failed && errno == 0 && write(fileno(writer->stream), "", 1) == 1)
        errno = EIO;
    int number = errno ? errno : EIO;
    if (fclose(writer->stream) != 0 && !failed) {
        failed = 1;
        number = errno;
    }
    writer->stream = NULL;
    if (!failed && rename(writer->temporary, writer->path) != 0) {
        failed = 1;
        number = errno;
    }
    enum status status = STATUS_OK;
    if (failed) {
        status = error_set_errno(error, number, "%s: cannot write", writer->path);
    } else {
        free(writer->temporary);
        writer->temporary = NULL;
        sync_parent(writer->path);
    }
    file_writer_abort(writer);
    return status;
}

void file_writer_abort(struct file_writer *writer)
{
    if (writer->stream)
        fclose(writer->stream);
    if (writer->temporary)
        unlink(writer->temporary);
    free(writer->temporary);
    free(writer->path);
    *writer = (struct file_writer){0};
}

enum status file_write_atomic(const char *path, const void *bytes, size_t length,
                              struct error *error)
{
    struct file_writer writer;
    enum status status = file_writer_open(&writer, path, error);
    if (status != STATUS_OK)
        return status;
    fwrite(bytes, 1, length, writer.stream);
    return file_writer_commit(&writer, error);
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool file_is_special(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode);
}

bool file_is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

enum status file_size(const char *path, uint64_t *bytes, struct error *error)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return error_set_errno(error, errno, "%s", path);
    *bytes = (uint64_t)info.st_size;
    return STATUS_OK;
}

enum status file_make_folders(const char *path, struct error *error)
{
    char *copy = strdup(path);
    if (!copy)
        return error_no_memory(error, strlen(path) + 1);
    int number = *copy ? 0 : ENOENT;
    for (char *at = copy + 1; number == 0; at++) {
        char end = *at;
        if (end != '/' && end != 0)
            continue;
        *at = 0;
        if (mkdir(copy, 0777) != 0 && errno != EEXIST)
            number = errno;
        else if (!file_is_folder(copy))
            number = ENOTDIR;
        *at = end;
        if (end == 0)
            break;
    }
    free(copy);
    return number ? error_set_errno(error, number, "%s: cannot make this folder", path) : STATUS_OK;
}

enum status file_remove_tree(const char *path, struct error *error)
{
    struct stat info;
    if (lstat(path, &info) != 0)
        return errno == ENOENT ? STATUS_OK : error_set_errno(error, errno, "%s", path);
    if (!S_ISDIR(info.st_mode))
        return unlink(path) == 0 ? STATUS_OK : error_set_errno(error, errno, "%s", path);
    DIR *folder = opendir(path);
    if (!folder)
        return error_set_errno(error, errno, "%s", path);
    enum status status = STATUS_OK;
    struct dirent *entry;
    while (status == STATUS_OK && (entry = readdir(folder))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char *child = file_join(path, entry->d_name);
        status = child ? file_remove_tree(child, error) : error_no_memory(error, 0);
        free(child);
    }
    closedir(folder);
    if (status == STATUS_OK && rmdir(path) != 0)
        status = error_set_errno(error, errno, "%s", path);
    return status;
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum status list_append(struct file_list *list, char *path, struct error *error)
{
    if ((list->count & (list->count - 1)) == 0) {
        size_t capacity = list->count ? list->count * 2 : 1;
        char **paths = realloc(list->paths, capacity * sizeof *paths);
        if (!paths) {
            free(path);
            return error_no_memory(error, capacity * sizeof *paths);
        }
        list->paths = paths;
    }
    list->paths[list->count++] = path;
    return STATUS_OK;
}

static enum status list_into(const char *folder, struct file_list *list, struct error *error)
{
    DIR *stream = opendir(folder);
    if (!stream)
        return error_set_errno(error, errno, "%s", folder);
    enum status status = STATUS_OK;
    struct dirent *entry;
    while (status == STATUS_OK && (entry = readdir(stream))) {
        if (entry->d_name[0] == '.')
            continue;
        char *path = file_join(folder, entry->d_name);
        struct stat link, info;
        if (!path) {
            status = error_no_memory(error, strlen(folder));
        } else if (lstat(path, &link) != 0 || stat(path, &info) != 0) {
            free(path); /* a dangling link, or gone since */
        } else if (S_ISREG(info.st_mode)) {
            status = list_append(list, path, error);
        } else {
            if (S_ISDIR(link.st_mode))
                status = list_into(path, list, error);
            free(path);
        }
    }
    closedir(stream);
    return status;
}

enum status file_list_folder(const char *folder, struct file_list *list, struct error *error)
{
    *list = (struct file_list){0};
    enum status status = list_into(folder, list, error);
    if (status != STATUS_OK)
        file_list_free(list);
    else if (list->count)
        qsort(list->paths, list->count, sizeof *list->paths, compare_paths);
    return status;
}

void file_list_free(struct file_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->paths[i]);
    free(list->paths);
    *list = (struct file_list){0};
}

char *file_join(const char *folder, const char *name)
{
    size_t length = strlen(folder);
    while (length > 1 && folder[length - 1] == '/')
        length--;
    char *path = malloc(length + strlen(name) + 2);
    if (path)
        sprintf(path, "%.*s/%s", (int)length, folder, name);
    return path;
}

enum status file_lock_folder(const char *path, int *lock, struct error *error)
{
    *lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*lock < 0)
        return error_set_errno(error, errno, "%s", path);
    if (flock(*lock, LOCK_EX | LOCK_NB) == 0)
        return STATUS_OK;
    bool held = errno == EWOULDBLOCK;
    close(*lock);
    *lock = -1;
    return held ? error_set(error, STATUS_FAILED, "%s: another run is writing to this folder", path)
                : STATUS_OK;
}

void file_remove_leftovers(const char *folder, const char *const *names)
{
    DIR *stream = opendir(folder);
    struct dirent *entry;
    while (stream && (entry = readdir(stream))) {
        const char *dot = strrchr(entry->d_name, '.');
        if (!dot || strlen(dot) != 7 || strspn(dot + 1, "0123456789") != 6)
            continue;
        size_t length = (size_t)(dot - entry->d_name);
        for (int i = 0; names[i]; i++)
            if (strlen(names[i]) == length && strncmp(names[i], entry->d_name, length) == 0)
                unlinkat(dirfd(stream), entry->d_name, 0);
    }
    if (stream)
        closedir(stream);
}
