/*
 * Loaded into the engine before libc by some tests (ld.so(8), LD_PRELOAD; see preload.rs): trouble that a test cannot
 * make from outside without harm to the machine. A file in the folder PRELOAD_FOLDER is an order, looked for anew at
 * every call, so that a test can give it and take it back while the engine runs:
 *
 *   clock      seconds by which the wall clock is wrong
 *   read_only  the database, and what lies beside it, cannot be written any more: EROFS
 *   folders    a folder cannot be synced: the number of the error
 *   wait       the engine cannot wait for events: the number of the error
 *   reads      a read of the database takes so many milliseconds
 *   delay      a sync takes so many seconds
 *   errors     a sync of the database, and of what lies beside it, fails: the number of the error
 *   hold       a sync does not return before the order is taken back; meanwhile there is a file `syncing`. NAME (or
 *              NAME*: that begins so): of that file alone
 *   quit       a writer ends at a sync as if all were well
 *   debugged   the end of a child is not told, as if a debugger kept it
 *   kill       CALL NAME N: the Nth such call on the file of that name (NAME*: that begins so) is cut short by SIGKILL,
 *              the write of a page half done (nothing tears what is smaller than a sector); the engine goes with it
 *
 * A file `loaded` is made at the start, to show that all this takes effect.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The path of a file in the folder of orders. */
static void find(const char *name, char path[PATH_MAX])
{
    const char *folder = getenv("PRELOAD_FOLDER");
    snprintf(path, PATH_MAX, "%s/%s", folder ? folder : "", name);
}

static void make(const char *name)
{
    char path[PATH_MAX];
    find(name, path);
    syscall(SYS_close, syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

/* Whether an order is given; its text. */
static int ordered(const char *name, char text[64])
{
    char path[PATH_MAX];
    int before = errno;
    find(name, path);
    long file = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    long length = file < 0 ? -1 : syscall(SYS_read, file, text, 63);
    if (file >= 0)
        syscall(SYS_close, file);
    errno = before;
    if (length < 0)
        return 0;
    text[length] = 0;
    return 1;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* The name of an open file, without its folder. */
static const char *name_of(int file, char path[PATH_MAX])
{
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = 0;
    return last_part(path);
}

static int refused(const char *name)
{
    char text[64];
    if (strncmp(name, "storage.sqlite", strlen("storage.sqlite")) != 0 || !ordered("read_only", text))
        return 0;
    errno = EROFS;
    return 1;
}

/* Whether a name is the one ordered, or begins like it if that ends with a star. */
static int is_named(const char *name, const char *ordered)
{
    size_t length = strlen(ordered);
    int begins = length > 0 && ordered[length - 1] == '*';
    return begins ? strncmp(name, ordered, length - 1) == 0 : strcmp(name, ordered) == 0;
}

/* Whether this is the call in which the process is to die. */
static int is_last(const char *call, const char *name)
{
    static long calls;
    char text[64], last_call[16], last_name[40];
    long last;
    return ordered("kill", text) && sscanf(text, "%15s %39s %ld", last_call, last_name, &last) == 3 &&
           strcmp(call, last_call) == 0 && is_named(name, last_name) && ++calls == last;
}

/* Whether this process is the writer of an engine. */
static int is_writer(void)
{
    char line[64] = "";
    int file = syscall(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    long length = syscall(SYS_read, file, line, sizeof line - 1);
    syscall(SYS_close, file);
    return length > 0 && strcmp(line + strlen(line) + 1, "writer") == 0;
}

/* Ends this process; one that is the writer of an engine takes that along. */
static void die(void)
{
    if (is_writer())
        kill(getppid(), SIGKILL);
    kill(getpid(), SIGKILL);
}

static void die_if_last(const char *call, const char *name)
{
    if (is_last(call, name))
        die();
}

__attribute__((constructor)) static void start(void)
{
    make("loaded");
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    char text[64];
    long result = syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && clock == CLOCK_REALTIME && ordered("clock", text))
        time->tv_sec += atol(text);
    return result;
}

int epoll_wait(int epoll, struct epoll_event *events, int room, int timeout)
{
    char text[64];
    if (ordered("wait", text)) {
        errno = atoi(text);
        return -1;
    }
    return syscall(SYS_epoll_pwait, epoll, events, room, timeout, NULL, 0);
}

pid_t waitpid(pid_t child, int *status, int options)
{
    char text[64];
    while (ordered("debugged", text)) {
        if (options & WNOHANG)
            return 0;
        usleep(1000);
    }
    return syscall(SYS_wait4, child, status, options, NULL);
}

int waitid(idtype_t which, id_t id, siginfo_t *ended, int options)
{
    char text[64];
    return ordered("debugged", text) ? 0 : syscall(SYS_waitid, which, id, ended, options, NULL);
}

ssize_t pread64(int file, void *bytes, size_t length, off64_t offset)
{
    char path[PATH_MAX], text[64];
    if (strcmp(name_of(file, path), "storage.sqlite") == 0 && ordered("reads", text))
        usleep(1000 * atoi(text));
    return syscall(SYS_pread64, file, bytes, length, offset);
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t offset)
{
    char path[PATH_MAX];
    const char *name = name_of(file, path);
    if (refused(name))
        return -1;
    if (is_last("write", name)) {
        syscall(SYS_pwrite64, file, bytes, length < 512 ? 0 : length / 2, offset);
        die();
    }
    return syscall(SYS_pwrite64, file, bytes, length, offset);
}

int fsync(int file)
{
    char path[PATH_MAX], text[64];
    const char *name = name_of(file, path);
    struct stat status;
    if (refused(name))
        return -1;
    if (ordered("folders", text) && fstat(file, &status) == 0 && S_ISDIR(status.st_mode)) {
        errno = atoi(text);
        return -1;
    }
    die_if_last("sync", name);
    if (ordered("quit", text) && is_writer())
        _exit(0);
    if (ordered("delay", text))
        sleep(atoi(text));
    if (strncmp(name, "storage.sqlite", strlen("storage.sqlite")) == 0 && ordered("errors", text)) {
        errno = atoi(text);
        return -1;
    }
    if (ordered("hold", text) && (text[0] == 0 || is_named(name, text))) {
        make("syncing");
        while (ordered("hold", text))
            usleep(1000);
        find("syncing", path);
        syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    }
    return syscall(SYS_fsync, file);
}

int ftruncate64(int file, off64_t length)
{
    char path[PATH_MAX];
    const char *name = name_of(file, path);
    if (refused(name))
        return -1;
    die_if_last("truncate", name);
    return syscall(SYS_ftruncate, file, length);
}

int unlink(const char *path)
{
    if (refused(last_part(path)))
        return -1;
    die_if_last("unlink", last_part(path));
    return syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int open64(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    if ((flags & O_ACCMODE) != O_RDONLY && refused(last_part(path)))
        return -1;
    return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}
