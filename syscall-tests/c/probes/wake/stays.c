/* Events near a wait that must not end it. */
#include "probe.h"
#include "wake_events.h"
#include <sys/file.h>
#include <sys/signalfd.h>

static void two_writers(void)
{
	make_pipe(a, 0);
	fd = must(sys(dup, a[1]));
}
static void one_byte_free(void) { must(sys(read, a[0], data, 1)); }
static void rcv_limit(void)
{
	struct timeval t = {0, 1};
	must(sys(setsockopt, s[1], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
}
static void set_of(int signal)
{
	uint64_t set = SIGBIT(signal);
	fd = must(sys(signalfd4, -1, &set, 8, 0));
}
static long reads_signal(void)
{
	struct signalfd_siginfo got;
	mask_signals(SIG_BLOCK, SIGBIT(SIGWINCH) | SIGBIT(SIGUSR2));
	set_of(SIGWINCH);
	return sys(read, fd, &got, sizeof got);
}
static long takes(uint64_t set)
{
	mask_signals(SIG_BLOCK, set | SIGBIT(SIGWINCH));
	return sys(rt_sigtimedwait, &set, NULL, NULL, 8);
}
static long other_child(void)
{
	int status = 0;
	long other = spawn(waits_byte, NULL), pid = spawn(waits_byte, NULL);
	await_sleep(other, other);
	await_sleep(pid, pid);
	must(sys(write, a[1], &other, 8));
	long r = sys(wait4, pid, &status, 0, NULL);
	sys(kill, pid, SIGKILL);
	return r;
}
static long pidfd_polls(void)
{
	long pid = spawn(waits_byte, NULL);
	await_sleep(pid, pid);
	must(sys(write, a[1], &pid, 8));
	long r = polls(must(sys(pidfd_open, pid, 0)), POLLIN);
	sys(kill, pid, SIGKILL);
	return r;
}
static void word_changes(void) { board->word = 1; }
static void moved(void) { must(sys(futex, &board->word, FUTEX_REQUEUE, 0, 1, (char *)&board->word + 4, 0)); wake(FUTEX_WAKE, 0); }
static void once_used(void)
{
	watch(EPOLLIN | EPOLLONESHOT);
	add(1);
	must(collects());
	take();
}
static void edge_used(void)
{
	watch(EPOLLIN | EPOLLET);
	add(1);
	must(collects());
}
static void drop(void)
{
	control(EPOLL_CTL_DEL, fd, 0);
	add(1);
}
static void disarm(void)
{
	must(sys(timerfd_settime, fd, 0, (&(struct itimerspec){{0, 0}, {0, 0}}), NULL));
}
static void drop_dup(void) { leave(must(sys(dup, fd))); }
static void queued_gone(void) { leave(helper); }

#define LIST(X)                                                                                                       \
	X(one_writer_left, "read", two_writers(), (leave(a[1]), leave(fd), reads(a[0])), leave(fd))                   \
	X(write_nothing, "read", make_pipe(a, 0), reads(a[0]), must(sys(write, a[1], data, 0)))                       \
	X(no_whole_page, "write", fill(a), writes(a[1]), one_byte_free())                                             \
	X(other_reader_closed, "read", make_pipe(a, 0), reads(a[0]), leave(a[0]))                                     \
	X(open_read_same, "openat", fifo(), made_fd(sys(openat, AT_FDCWD, "fifo", O_RDONLY)), open_close(O_RDONLY))   \
	X(open_removed, "openat", fifo(), made_fd(sys(openat, AT_FDCWD, "fifo", O_RDONLY)), must(sys(unlink, "fifo"))) \
	X(recv_peer_read, "recvfrom", pair(SOCK_STREAM), recvs(0), down(0, SHUT_RD))                                  \
	X(recv_own_write, "recvfrom", pair(SOCK_STREAM), recvs(0), down(1, SHUT_WR))                                  \
	X(recv_limit_set, "recvfrom", pair(SOCK_STREAM), recvs(0), rcv_limit())                                       \
	X(recv_other_way, "recvfrom", pair(SOCK_STREAM), recvs(0), must(writes(s[1])))                                \
	X(send_peer_write, "write", full(SOCK_STREAM), writes(s[0]), down(1, SHUT_WR))                                \
	X(send_own_read, "write", full(SOCK_STREAM), writes(s[0]), down(0, SHUT_RD))                                  \
	X(datagram_peer_closed, "read", pair(SOCK_DGRAM), (leave(s[0]), reads(s[1])), leave(s[0]))                    \
	X(datagram_peer_write, "read", pair(SOCK_DGRAM), reads(s[1]), down(0, SHUT_WR))                               \
	X(datagram_own_write, "read", pair(SOCK_DGRAM), reads(s[1]), down(1, SHUT_WR))                                \
	X(accept_write, "accept", listens(), made_fd(sys(accept, listener, NULL, NULL)), must(sys(shutdown, listener, SHUT_WR))) \
	X(accept_more, "accept", listens(), made_fd(sys(accept, listener, NULL, NULL)), must(sys(listen, listener, 7))) \
	X(connect_gone, "connect", crowded(), (leave(helper), connects()), queued_gone())                             \
	X(connect_fewer, "connect", crowded(), connects(), must(sys(listen, listener, 0)))                            \
	X(flock_downgraded, "flock", mine(LOCK_EX, F_WRLCK), wants(LOCK_EX), must(sys(flock, fd, LOCK_SH)))           \
	X(flock_dup_closed, "flock", mine(LOCK_EX, F_WRLCK), wants(LOCK_EX), drop_dup())                              \
	X(flock_record, "flock", mine(LOCK_EX, F_WRLCK), wants(LOCK_SH), must(own_lock(F_SETLK, F_UNLCK, 0, 0)))      \
	X(flock_removed, "flock", mine(LOCK_EX, F_WRLCK), wants(LOCK_SH), must(sys(unlink, "f")))                     \
	X(record_other_part, "fcntl", mine(LOCK_EX, F_WRLCK), asks(F_SETLKW, F_WRLCK, 3, 2), must(own_lock(F_SETLK, F_UNLCK, 0, 4))) \
	X(record_downgraded, "fcntl", mine(LOCK_EX, F_WRLCK), asks(F_SETLKW, F_WRLCK, 0, 0), must(own_lock(F_SETLK, F_RDLCK, 0, 0))) \
	X(record_flock, "fcntl", mine(LOCK_EX, F_WRLCK), asks(F_SETLKW, F_RDLCK, 0, 0), must(sys(flock, fd, LOCK_UN))) \
	X(child_stops, "wait4", both(), waits_for(0, false), signal_child(SIGSTOP))                                   \
	X(child_ignores, "wait4", both(), waits_for(WUNTRACED, true), signal_child(SIGWINCH))                         \
	X(child_other, "wait4", both(), other_child(), signal_child(SIGKILL))                                         \
	X(pidfd_stopped, "poll", both(), pidfd_polls(), signal_child(SIGSTOP))                                        \
	X(counter_nothing, "read", event(0), reads(fd), add(0))                                                       \
	X(timer_later, "read", timer(3600), reads(fd), disarm())                                                      \
	X(signal_other, "read", both(), reads_signal(), must(sys(kill, sleeping, SIGUSR2)))                 \
	X(take_other, "rt_sigtimedwait", both(), takes(SIGBIT(SIGUSR2)), must(sys(kill, sleeping, SIGWINCH)))         \
	X(futex_value, "futex", both(), awaits(FUTEX_WAIT, 0), word_changes())                                        \
	X(futex_other_bits, "futex", both(), awaits(FUTEX_WAIT_BITSET, 4), wake(FUTEX_WAKE_BITSET, 3))                \
	X(futex_private, "futex", both(), awaits(FUTEX_WAIT, 0), wake(FUTEX_WAKE_PRIVATE, 0))                         \
	X(futex_moved, "futex", both(), awaits(FUTEX_WAIT, 0), moved())                                               \
	X(futex_next_word, "futex", both(), awaits(FUTEX_WAIT, 0), must(sys(futex, (char *)&board->word + 4, FUTEX_WAKE, 9))) \
	X(epoll_removed, "epoll_wait", watch(EPOLLIN), collects(), drop())                                            \
	X(epoll_modified, "epoll_wait", watch(EPOLLIN), collects(), control(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLRDHUP)) \
	X(epoll_nothing_asked, "epoll_wait", watch(0), collects(), add(1))                                            \
	X(epoll_once_used, "epoll_wait", once_used(), collects(), add(1))                                             \
	X(epoll_edge_taken, "epoll_wait", edge_used(), collects(), take())                                            \
	X(poll_not_asked, "poll", make_pipe(a, 0), polls(a[0], POLLPRI), must(writes(a[1])))

WAKE_ENDS("wake/stays", LIST, true)
