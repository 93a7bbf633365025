/* A wrong clock for a process and all that it starts, by LD_PRELOAD.
 *
 * CLOCK_REALTIME is as many seconds ahead as the file CLOCK_SHIFT says at that moment (a long;
 * behind when negative). The monotonic clock and relative waits are left alone. Waits until a moment of the wrong clock are made waits until
 * the same moment of the right one: the kernel knows no other.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* The monotonic clock counts from the start of the machine and is never as late as this. */
#define IS_OF_THE_CALENDAR 1000000000L

static long shift_seconds(void) {
    static const volatile long none;
    static const volatile long *value;
    if (!value) {
        const char *name = getenv("CLOCK_SHIFT");
        int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
        void *found = mmap(NULL, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
        value = found == MAP_FAILED ? &none : (const volatile long *)found;
        if (file >= 0) close(file);
    }
    return *value;
}

static int is_real(clockid_t clock) {
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
}

/* The oldest version of a symbol is what dlsym finds; some have had others since. */
static void *real(const char *name, const char *version) {
    void *found = version ? dlvsym(RTLD_NEXT, name, version) : NULL;
    return found ? found : dlsym(RTLD_NEXT, name);
}

#define REAL(result, name, version, ...)                                                         \
    static result (*next)(__VA_ARGS__);                                                          \
    if (!next) next = (result (*)(__VA_ARGS__))real(name, version)

static const struct timespec *right(const struct timespec *wrong, struct timespec *room) {
    if (!wrong) return NULL;
    *room = *wrong;
    room->tv_sec -= shift_seconds();
    return room;
}

/* -- reading the clock */

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(int, "clock_gettime", NULL, clockid_t, struct timespec *);
    int result = next(clock, now);
    if (!result && is_real(clock)) now->tv_sec += shift_seconds();
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec fine;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &fine)) return -1;
    now->tv_sec = fine.tv_sec;
    now->tv_usec = fine.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *result) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result) *result = now.tv_sec;
    return now.tv_sec;
}

int timespec_get(struct timespec *now, int base) {
    return base == TIME_UTC && !clock_gettime(CLOCK_REALTIME, now) ? base : 0;
}

/* -- waiting for a moment of the clock */

int sem_timedwait(sem_t *restrict one, const struct timespec *restrict until) {
    REAL(int, "sem_timedwait", NULL, sem_t *, const struct timespec *);
    struct timespec room;
    return next(one, right(until, &room));
}

int sem_clockwait(sem_t *restrict one, clockid_t clock, const struct timespec *restrict until) {
    REAL(int, "sem_clockwait", NULL, sem_t *, clockid_t, const struct timespec *);
    struct timespec room;
    return next(one, clock, is_real(clock) ? right(until, &room) : until);
}

int pthread_cond_timedwait(pthread_cond_t *restrict one, pthread_mutex_t *restrict lock,
                           const struct timespec *restrict until) {
    REAL(int, "pthread_cond_timedwait", "GLIBC_2.3.2", pthread_cond_t *, pthread_mutex_t *,
         const struct timespec *);
    struct timespec room;
    /* The condition's own clock is not known here; its moments tell which it is. */
    int of_calendar = until->tv_sec > IS_OF_THE_CALENDAR;
    return next(one, lock, of_calendar ? right(until, &room) : until);
}

int pthread_cond_clockwait(pthread_cond_t *restrict one, pthread_mutex_t *restrict lock,
                           clockid_t clock, const struct timespec *restrict until) {
    REAL(int, "pthread_cond_clockwait", NULL, pthread_cond_t *, pthread_mutex_t *, clockid_t,
         const struct timespec *);
    struct timespec room;
    return next(one, lock, clock, is_real(clock) ? right(until, &room) : until);
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict one, const struct timespec *restrict until) {
    REAL(int, "pthread_mutex_timedlock", NULL, pthread_mutex_t *, const struct timespec *);
    struct timespec room;
    return next(one, right(until, &room));
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until,
                    struct timespec *left) {
    REAL(int, "clock_nanosleep", NULL, clockid_t, int, const struct timespec *, struct timespec *);
    struct timespec room;
    int is_moment = is_real(clock) && (flags & TIMER_ABSTIME);
    return next(clock, flags, is_moment ? right(until, &room) : until, left);
}

int timerfd_settime(int file, int flags, const struct itimerspec *value, struct itimerspec *old) {
    REAL(int, "timerfd_settime", NULL, int, int, const struct itimerspec *, struct itimerspec *);
    struct itimerspec moved;
    if (value && (flags & TFD_TIMER_ABSTIME) && value->it_value.tv_sec > IS_OF_THE_CALENDAR) {
        moved = *value;
        moved.it_value.tv_sec -= shift_seconds();
        value = &moved;
    }
    return next(file, flags, value, old);
}

/* Locks that are made of futexes without the C library: their waits, and whoever asks the kernel
 * for the time himself. */
long syscall(long number, ...) {
    REAL(long, "syscall", NULL, long, ...);
    long word[6];
    struct timespec room;
    va_list words;
    va_start(words, number);
    for (int i = 0; i < 6; i++) word[i] = va_arg(words, long);
    va_end(words);
    if (number == SYS_clock_gettime)
        return clock_gettime((clockid_t)word[0], (struct timespec *)word[1]);
    if (number == SYS_futex && (word[1] & FUTEX_CLOCK_REALTIME))
        word[3] = (long)right((const struct timespec *)word[3], &room);
    return next(number, word[0], word[1], word[2], word[3], word[4], word[5]);
}
