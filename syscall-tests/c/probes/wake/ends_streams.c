/* The events that end a wait on pipes, FIFOs and sockets other than what is waited for. */
#include "probe.h"
#include "wake_events.h"

static void unread(void)
{
	pair(SOCK_STREAM);
	must(writes(s[1]));
}
static void opens_more(void) { must(sys(listen, listener, 5)); }

#define LIST(X)                                                                                                       \
	X(read_closed, "read", make_pipe(a, 0), (leave(a[1]), reads(a[0])), leave(a[1]))                              \
	X(read_nonempty, "read", make_pipe(a, 0), reads(a[0]), must(sys(write, a[1], data, 1)))                       \
	X(write_closed, "write", fill(a), (leave(a[0]), writes(a[1])), leave(a[0]))                                   \
	X(write_closed_quiet, "write", fill(a), (quiet(), leave(a[0]), writes(a[1])), leave(a[0]))                    \
	X(write_part_closed, "write", fill(a); must(sys(read, a[0], data, 8192)), (quiet(), leave(a[0]), sys(write, a[1], data, 50000)), leave(a[0])) \
	X(write_page_free, "write", fill(a), writes(a[1]), must(sys(read, a[0], data, 4096)))                         \
	X(write_two_pages, "write", fill(a), sys(write, a[1], data, 8192), must(sys(read, a[0], data, 8192)))         \
	X(write_grown, "write", fill(a), writes(a[1]), must(sys(fcntl, a[1], F_SETPIPE_SZ, 1 << 17)))                 \
	X(splice_in_closed, "splice", both(), (leave(a[1]), sys(splice, a[0], NULL, b[1], NULL, 10, 0)), leave(a[1])) \
	X(splice_out_closed, "splice", spliced(), (quiet(), leave(a[0]), sys(splice, b[0], NULL, a[1], NULL, 6, 0)), leave(a[0])) \
	X(tee_closed, "tee", both(), (leave(a[1]), sys(tee, a[0], b[1], 10, 0)), leave(a[1]))                         \
	X(sendfile_closed, "sendfile", sourced(), (quiet(), leave(a[0]), sys(sendfile, a[1], fd, NULL, 10)), leave(a[0])) \
	X(open_read_closed, "openat", fifo(), made_fd(sys(openat, AT_FDCWD, "fifo", O_RDONLY)), open_close(O_WRONLY)) \
	X(open_write_closed, "openat", fifo(), made_fd(sys(openat, AT_FDCWD, "fifo", O_WRONLY)), open_close(O_RDONLY)) \
	X(open_read_both, "openat", fifo(), made_fd(sys(openat, AT_FDCWD, "fifo", O_RDONLY)), open_close(O_RDWR))     \
	X(recv_closed, "recvfrom", pair(SOCK_STREAM), (leave(s[0]), recvs(0)), leave(s[0]))                           \
	X(recv_peer_write, "recvfrom", pair(SOCK_STREAM), recvs(0), down(0, SHUT_WR))                                 \
	X(recv_peer_both, "recvfrom", pair(SOCK_STREAM), recvs(0), down(0, SHUT_RDWR))                                \
	X(recv_own_read, "recvfrom", pair(SOCK_STREAM), recvs(0), down(1, SHUT_RD))                                   \
	X(recv_own_both, "recvfrom", pair(SOCK_STREAM), recvs(0), down(1, SHUT_RDWR))                                 \
	X(recv_reset, "recvfrom", unread(), (leave(s[0]), recvs(0)), leave(s[0]))                                     \
	X(wait_all_closed, "recvfrom", pair(SOCK_STREAM); must(sys(write, s[0], "abc", 3)), (leave(s[0]), recvs(MSG_WAITALL)), leave(s[0])) \
	X(wait_all_reset, "recvfrom", unread(); must(sys(write, s[0], "abc", 3)), (leave(s[0]), recvs(MSG_WAITALL)), leave(s[0])) \
	X(send_closed, "write", full(SOCK_STREAM), (leave(s[1]), writes(s[0])), leave(s[1]))                          \
	X(send_closed_quiet, "sendto", full(SOCK_STREAM), (leave(s[1]), sys(sendto, s[0], data, 10, MSG_NOSIGNAL, NULL, 0)), leave(s[1])) \
	X(send_peer_read, "write", full(SOCK_STREAM), (quiet(), writes(s[0])), down(1, SHUT_RD))                      \
	X(send_own_write, "write", full(SOCK_STREAM), (quiet(), writes(s[0])), down(0, SHUT_WR))                      \
	X(send_own_both, "write", full(SOCK_STREAM), (quiet(), writes(s[0])), down(0, SHUT_RDWR))                     \
	X(datagram_own_read, "read", pair(SOCK_DGRAM), reads(s[1]), down(1, SHUT_RD))                                 \
	X(datagram_empty, "read", pair(SOCK_DGRAM), reads(s[1]), must(sys(sendto, s[0], data, 0, 0, NULL, 0)))        \
	X(datagram_send_closed, "write", full(SOCK_DGRAM), (quiet(), leave(s[1]), writes(s[0])), leave(s[1]))         \
	X(datagram_send_own, "write", full(SOCK_DGRAM), (quiet(), writes(s[0])), down(0, SHUT_WR))                    \
	X(packet_closed, "read", pair(SOCK_SEQPACKET), (leave(s[0]), reads(s[1])), leave(s[0]))                       \
	X(packet_peer_write, "read", pair(SOCK_SEQPACKET), reads(s[1]), down(0, SHUT_WR))                             \
	X(packet_send_closed, "write", full(SOCK_SEQPACKET), (quiet(), leave(s[1]), writes(s[0])), leave(s[1]))       \
	X(packet_send_peer, "write", full(SOCK_SEQPACKET), (quiet(), writes(s[0])), down(1, SHUT_RD))                 \
	X(accept_read, "accept", listens(), made_fd(sys(accept, listener, NULL, NULL)), must(sys(shutdown, listener, SHUT_RD))) \
	X(accept_both, "accept", listens(), made_fd(sys(accept, listener, NULL, NULL)), must(sys(shutdown, listener, SHUT_RDWR))) \
	X(accept_gone, "accept", listens(), made_fd(sys(accept, listener, NULL, NULL)), helper = client(0); must(sys(connect, helper, &name, name_len)); leave(helper)) \
	X(connect_closed, "connect", crowded(), (leave(listener), connects()), leave(listener))                       \
	X(connect_more, "connect", crowded(), connects(), opens_more())

WAKE_ENDS("wake/ends_streams", LIST, false)
