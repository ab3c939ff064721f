/* The events that end a wait for locks, children, counters, timers, signals, words of memory and readiness. */
#include "probe.h"
#include "wake_events.h"
#include <sys/file.h>
#include <sys/signalfd.h>

static void drop_other(void) { leave(must(sys(openat, AT_FDCWD, "f", O_RDONLY))); }
static void set_of(int signal)
{
	uint64_t set = SIGBIT(signal);
	fd = must(sys(signalfd4, -1, &set, 8, 0));
}
static long reads_signal(void)
{
	struct signalfd_siginfo got;
	mask_signals(SIG_BLOCK, SIGBIT(SIGWINCH));
	set_of(SIGWINCH);
	long r = sys(read, fd, &got, sizeof got);
	return r < 0 ? r : (long)got.ssi_signo;
}
static long takes(uint64_t set)
{
	mask_signals(SIG_BLOCK, set);
	return sys(rt_sigtimedwait, &set, NULL, NULL, 8);
}
static void sends(int signal) { must(sys(kill, sleeping, signal)); }
static void directs(int signal) { must(sys(tgkill, sleeping, sleeping, signal)); }
static long unwaited(void)
{
	must(sys(rt_sigaction, SIGCHLD, &(struct ksigaction){.handler = (void *)1}, NULL, 8));
	return waits_for(0, true);
}
static long pidfd_polls(void)
{
	long pid = spawn(waits_byte, NULL);
	await_sleep(pid, pid);
	must(sys(write, a[1], &pid, 8));
	return polls(must(sys(pidfd_open, pid, 0)), POLLIN);
}
static void requeued(void)
{
	must(sys(futex, &board->word, FUTEX_REQUEUE, 0, 1, (char *)&board->word + 4, 0));
	must(sys(futex, (char *)&board->word + 4, FUTEX_WAKE, 1));
}
static void wake_op(void) { must(sys(futex, (char *)&board->word + 4, FUTEX_WAKE_OP, 1, 1, &board->word, 1 << 28)); }
static void nested(void)
{
	watch(EPOLLIN);
	long inner = ep;
	ep = must(sys(epoll_create1, 0));
	control(EPOLL_CTL_ADD, inner, EPOLLIN);
}
static void adds_ready(void)
{
	long ready = must(sys(eventfd2, 1, 0));
	control(EPOLL_CTL_ADD, ready, EPOLLIN | EPOLLET);
}
static void other_half(void)
{
	must(own_lock(F_SETLK, F_UNLCK, 0, 5));
	must(own_lock(F_SETLK, F_UNLCK, 5, 0));
}

#define LIST(X)                                                                                                       \
	X(flock_unlocked, "flock", mine(LOCK_EX, F_WRLCK), wants(LOCK_EX), must(sys(flock, fd, LOCK_UN)))             \
	X(flock_downgraded, "flock", mine(LOCK_EX, F_WRLCK), wants(LOCK_SH), must(sys(flock, fd, LOCK_SH)))           \
	X(flock_closed, "flock", mine(LOCK_EX, F_WRLCK), (leave(fd), wants(LOCK_EX)), leave(fd))                      \
	X(flock_holder_killed, "flock", held(), wants(LOCK_EX), kill_helper())                                        \
	X(record_holder_killed, "fcntl", held(), asks(F_SETLKW, F_WRLCK, 0, 0), kill_helper())                        \
	X(record_unlocked, "fcntl", mine(LOCK_EX, F_WRLCK), asks(F_SETLKW, F_WRLCK, 0, 0), must(own_lock(F_SETLK, F_UNLCK, 0, 0))) \
	X(record_part, "fcntl", mine(LOCK_EX, F_WRLCK), asks(F_SETLKW, F_WRLCK, 3, 1), must(own_lock(F_SETLK, F_UNLCK, 3, 1))) \
	X(record_halves, "fcntl", mine(LOCK_EX, F_WRLCK), asks(F_SETLKW, F_WRLCK, 3, 4), other_half())                \
	X(record_downgraded, "fcntl", mine(LOCK_EX, F_WRLCK), asks(F_SETLKW, F_RDLCK, 0, 0), must(own_lock(F_SETLK, F_RDLCK, 0, 0))) \
	X(record_other_closed, "fcntl", mine(LOCK_EX, F_WRLCK), asks(F_SETLKW, F_WRLCK, 0, 0), drop_other())          \
	X(ofd_behind_record, "fcntl", mine(LOCK_EX, F_WRLCK), asks(F_OFD_SETLKW, F_WRLCK, 0, 0), must(own_lock(F_SETLK, F_UNLCK, 0, 0))) \
	X(child_exits, "wait4", both(), waits_for(0, false), signal_child(SIGKILL))                                   \
	X(child_terminates, "wait4", both(), waits_for(0, true), signal_child(SIGTERM))                               \
	X(child_stops, "wait4", both(), waits_for(WUNTRACED, false), signal_child(SIGSTOP))                           \
	X(child_stops_any, "wait4", both(), waits_for(WUNTRACED, true), signal_child(SIGSTOP))                        \
	X(child_unwaited, "wait4", both(), unwaited(), signal_child(SIGKILL))                                         \
	X(pidfd_killed, "poll", both(), pidfd_polls(), signal_child(SIGKILL))                                         \
	X(counter_added, "read", event(0), reads(fd), add(1))                                                         \
	X(counter_taken, "write", event(0xfffffffffffffffe), sys(write, fd, (&(uint64_t){0xfffffffffffffffe}), 8), take()) \
	X(timer_sooner, "read", timer(3600), reads(fd), arm(1))                                                       \
	X(timer_set, "read", timer(0), reads(fd), arm(1))                                                             \
	X(timer_relative, "read", timer(0), reads(fd), arm(2000000))                                                  \
	X(signal_process, "read", both(), reads_signal(), sends(SIGWINCH))                                  \
	X(signal_thread, "read", both(), reads_signal(), directs(SIGWINCH))                                 \
	X(take_process, "rt_sigtimedwait", both(), takes(SIGBIT(SIGUSR1) | SIGBIT(SIGWINCH)), sends(SIGWINCH))        \
	X(take_thread, "rt_sigtimedwait", both(), takes(SIGBIT(SIGUSR1) | SIGBIT(SIGWINCH)), directs(SIGUSR1))        \
	X(take_child, "rt_sigtimedwait", both(), takes(SIGBIT(SIGCHLD)), sends(SIGCHLD))                              \
	X(take_realtime, "rt_sigtimedwait", both(), takes(SIGBIT(40)), sends(40))                                     \
	X(futex_wake, "futex", both(), awaits(FUTEX_WAIT, 0), wake(FUTEX_WAKE, 0))                                    \
	X(futex_bits, "futex", both(), awaits(FUTEX_WAIT_BITSET, 6), wake(FUTEX_WAKE_BITSET, 3))                      \
	X(futex_any_bits, "futex", both(), awaits(FUTEX_WAIT_BITSET, 4), wake(FUTEX_WAKE, 0))                         \
	X(futex_requeued, "futex", both(), awaits(FUTEX_WAIT, 0), requeued())                                         \
	X(futex_wake_op, "futex", both(), awaits(FUTEX_WAIT, 0), wake_op())                                           \
	X(epoll_added, "epoll_wait", watch(EPOLLIN), collects(), adds_ready())                                        \
	X(epoll_modified, "epoll_wait", watch(EPOLLIN), collects(), control(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLOUT))   \
	X(epoll_edge, "epoll_wait", watch(EPOLLIN | EPOLLET), collects(), add(1))                                     \
	X(epoll_once, "epoll_wait", watch(EPOLLIN | EPOLLONESHOT), collects(), add(1))                                \
	X(epoll_nested, "epoll_wait", nested(), collects(), add(1))                                                   \
	X(epoll_polled, "poll", watch(EPOLLIN), polls(ep, POLLIN), add(1))                                            \
	X(epoll_polled_added, "poll", watch(EPOLLIN), polls(ep, POLLIN), adds_ready())                                \
	X(epoll_nested_polled, "poll", nested(), polls(ep, POLLIN), add(1))

WAKE_ENDS("wake/ends_others", LIST, false)
