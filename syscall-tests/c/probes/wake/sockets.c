/* What ends, interrupts or leaves alone whoever sleeps on a socket, with and without a time limit of the socket's own. */
#include "probe.h"
#include "wake_events.h"

static void limit(long f, int option)
{
	struct timeval t = {3600, 0};
	must(sys(setsockopt, f, SOL_SOCKET, option, &t, sizeof t));
}
static void drain(void)
{
	while (wake_state(sleeping) != 'Z')
		if (sys(recvfrom, s[1], data, sizeof data, MSG_DONTWAIT, NULL, NULL) < 0)
			sys(sched_yield);
}
static void without_room(void)
{
	listens();
	while (sys(connect, client(SOCK_NONBLOCK), &name, name_len) == 0)
		;
}
static void connected(void) { must(connects()); }
static void accepts(void) { must(sys(accept, listener, NULL, NULL)); }
static long limited_connect(void)
{
	long c = client(0);
	limit(c, SO_SNDTIMEO);
	return sys(connect, c, &name, name_len);
}
static long messages(int flags)
{
	struct iovec v = {data, 10};
	struct mmsghdr m[2] = {{{.msg_iov = &v, .msg_iovlen = 1}, 0}, {{.msg_iov = &v, .msg_iovlen = 1}, 0}};
	return sys(recvmmsg, s[1], m, 2, flags, NULL);
}
static long message(bool send)
{
	struct iovec v = {data, 10};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
	return send ? sys(sendmsg, s[0], &m, 0) : sys(recvmsg, s[1], &m, 0);
}
static long sends(void)
{
	struct iovec v = {data, 10};
	struct mmsghdr m[2] = {{{.msg_iov = &v, .msg_iovlen = 1}, 0}, {{.msg_iov = &v, .msg_iovlen = 1}, 0}};
	return sys(sendmmsg, s[0], m, 2, 0);
}
static void say(void) { must(sys(write, s[0], "abc", 3)); }
static void say_ten(void) { must(sys(write, s[0], "0123456789", 10)); }

#define RECV(n, f) sys(recvfrom, s[1], data, n, f, NULL, NULL)
#define LIST(X)                                                                                                       \
	X(read, "read", pair(SOCK_STREAM), sys(read, s[1], data, 10), say())                                          \
	X(recv, "recvfrom", pair(SOCK_STREAM), RECV(10, 0), say())                                                    \
	X(recvmsg, "recvmsg", pair(SOCK_STREAM), message(false), say())                                               \
	X(peek, "recvfrom", pair(SOCK_STREAM), RECV(10, MSG_PEEK), say())                                             \
	X(wait_all, "recvfrom", pair(SOCK_STREAM), RECV(10, MSG_WAITALL), say_ten())                                  \
	X(wait_all_part, "recvfrom", pair(SOCK_STREAM); say(), RECV(13, MSG_WAITALL), say_ten())                      \
	X(recv_limit, "recvfrom", pair(SOCK_STREAM); limit(s[1], SO_RCVTIMEO), RECV(10, 0), say())                    \
	X(other_limit, "recvfrom", pair(SOCK_STREAM); limit(s[1], SO_SNDTIMEO), RECV(10, 0), say())                   \
	X(recvmmsg, "recvmmsg", pair(SOCK_STREAM), messages(MSG_WAITFORONE), say())                                   \
	X(recvmmsg_second, "recvmmsg", pair(SOCK_SEQPACKET); say(), messages(0), say_ten())                           \
	X(write, "write", full(SOCK_STREAM), sys(write, s[0], data, 10), drain())                                     \
	X(write_part, "write", pair(SOCK_STREAM), sys(write, s[0], data, sizeof data), drain())                       \
	X(send_limit, "sendto", full(SOCK_STREAM); limit(s[0], SO_SNDTIMEO), sys(sendto, s[0], data, 10, 0, NULL, 0), drain()) \
	X(sendmsg, "sendmsg", full(SOCK_STREAM), message(true), drain())                                              \
	X(datagram_recv, "recvfrom", pair(SOCK_DGRAM), RECV(10, 0), say())                                            \
	X(datagram_limit, "recvfrom", pair(SOCK_DGRAM); limit(s[1], SO_RCVTIMEO), RECV(10, 0), say())                 \
	X(datagram_recvmsg, "recvmsg", pair(SOCK_DGRAM), message(false), say())                                       \
	X(datagram_send, "write", full(SOCK_DGRAM), sys(write, s[0], data, 10), drain())                              \
	X(datagram_send_limit, "write", full(SOCK_DGRAM); limit(s[0], SO_SNDTIMEO), sys(write, s[0], data, 10), drain()) \
	X(sendmmsg, "sendmmsg", full(SOCK_DGRAM), sends(), drain())                                                   \
	X(packet_recv, "read", pair(SOCK_SEQPACKET), sys(read, s[1], data, 10), say())                                \
	X(packet_send, "sendto", full(SOCK_SEQPACKET), sys(sendto, s[0], data, 10, 0, NULL, 0), drain())              \
	X(accept, "accept", listens(), made_fd(sys(accept, listener, NULL, NULL)), connected())                         \
	X(accept4, "accept4", listens(), made_fd(sys(accept4, listener, NULL, NULL, SOCK_CLOEXEC)), connected())        \
	X(accept_limit, "accept", listens(); limit(listener, SO_RCVTIMEO), made_fd(sys(accept, listener, NULL, NULL)), connected()) \
	X(connect, "connect", without_room(), sys(connect, client(0), &name, name_len), accepts())                         \
	X(connect_limit, "connect", without_room(), limited_connect(), accepts())

WAKE_PROBE("wake/sockets", LIST)
