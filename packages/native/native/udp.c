/*
 * A UDP socket that sends and receives trains: many datagrams of one size in one system call (UDP_SEGMENT, UDP_GRO;
 * Linux 4.18 and 5.0). Everything runs on the event loop's thread.
 *
 *   udpOpen(family, port, bufferBytes, room, marks, onEvent) -> socket, or a negative errno
 *   udpName(socket, out)         out: port, receive buffer, send buffer, 1 if trains are received
 *   udpSend(socket, buf, offset, length, segment, address, scope) -> 0 or a negative errno
 *   udpWantWritable(socket)      onEvent(WRITABLE, 0) once, when the kernel takes datagrams again
 *   udpClose(socket, onClosed)
 *   ifIndex(name) -> number, ifName(index) -> string
 *
 * onEvent(kind, value): MESSAGES: `value` messages lie in `room`, one in each ROOM_LENGTH bytes, described in `marks` by
 * MARKS numbers each: length, segment size, port, scope, address as four big-endian words (IPv4: the first).
 */
#include "module.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum { MESSAGES = 0, WRITABLE = 1, FAILED = 2 };
enum { ROOM_LENGTH = 65536, MARKS = 8, MOST_MESSAGES = 16 };
/* After so many bytes the rest of the event loop has its turn, so that what came is answered. */
enum { TURN_BYTES = 192 * 1024, TURN_MESSAGES = 64 };
/* Messages this long on average are trains: then few are read at a time. */
enum { LONG_MESSAGE = 8192, FEW_MESSAGES = 2 };

/* So that 32 MiB of free memory are kept. */
enum { KEPT_BLOCK = 16 * 1024 * 1024 };

typedef struct {
  uv_poll_t poll;
  napi_env env;
  int fd;
  int family;
  int gro;
  int wanted;
  int closing;
  /* Freed when it is closed and nobody in JavaScript has it any more. */
  int owners;
  int vector;
  napi_ref on_event;
  napi_ref on_closed;
  napi_ref room_ref;
  napi_ref marks_ref;
  napi_async_context context;
  napi_async_cleanup_hook_handle hook;
  int32_t *marks;
  struct mmsghdr messages[MOST_MESSAGES];
  struct iovec parts[MOST_MESSAGES];
  struct sockaddr_in6 from[MOST_MESSAGES];
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control[MOST_MESSAGES];
} udp_socket;

static int32_t int_of(napi_env env, napi_value value) {
  int32_t number = 0;
  napi_get_value_int32(env, value, &number);
  return number;
}

static napi_value number(napi_env env, int32_t value) {
  napi_value result = NULL;
  napi_create_int32(env, value, &result);
  return result;
}

static void disown(udp_socket *socket) {
  if (--socket->owners == 0) free(socket);
}

static void forgotten(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  disown(data);
}

static void release(udp_socket *socket, napi_ref *ref) {
  if (*ref != NULL) napi_delete_reference(socket->env, *ref);
  *ref = NULL;
}

/* Calls a function of JavaScript; what it throws is the process's, as from any event. */
static void call(udp_socket *socket, napi_ref ref, size_t count, const napi_value *arguments) {
  napi_env env = socket->env;
  napi_value function, receiver, result;
  if (ref == NULL || napi_get_reference_value(env, ref, &function) != napi_ok) return;
  napi_get_global(env, &receiver);
  if (napi_make_callback(env, socket->context, receiver, function, count, arguments, &result) ==
      napi_pending_exception) {
    napi_value error;
    napi_get_and_clear_last_exception(env, &error);
    napi_fatal_exception(env, error);
  }
}

static void tell(udp_socket *socket, int kind, int value) {
  napi_handle_scope scope;
  if (napi_open_handle_scope(socket->env, &scope) != napi_ok) return;
  napi_value arguments[2] = {number(socket->env, kind), number(socket->env, value)};
  call(socket, socket->on_event, 2, arguments);
  napi_close_handle_scope(socket->env, scope);
}

static void closed(uv_handle_t *handle) {
  udp_socket *socket = handle->data;
  napi_handle_scope scope;
  close(socket->fd);
  if (napi_open_handle_scope(socket->env, &scope) == napi_ok) {
    call(socket, socket->on_closed, 0, NULL);
    release(socket, &socket->on_event);
    release(socket, &socket->on_closed);
    release(socket, &socket->room_ref);
    release(socket, &socket->marks_ref);
    napi_async_destroy(socket->env, socket->context);
    napi_close_handle_scope(socket->env, scope);
  }
  napi_remove_async_cleanup_hook(socket->hook);
  disown(socket);
}

static void start_closing(udp_socket *socket) {
  if (socket->closing) return;
  socket->closing = 1;
  uv_poll_stop(&socket->poll);
  uv_close((uv_handle_t *)&socket->poll, closed);
}

/* The environment ends with the socket open. */
static void cleanup(napi_async_cleanup_hook_handle hook, void *data) {
  udp_socket *socket = data;
  (void)hook;
  release(socket, &socket->on_closed);
  start_closing(socket);
}

static int segment_of(struct msghdr *message) {
  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
    if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
      int size;
      memcpy(&size, CMSG_DATA(c), sizeof size);
      return size;
    }
  }
  return 0;
}

static void mark(udp_socket *socket, int i) {
  struct mmsghdr *message = &socket->messages[i];
  int32_t *marks = socket->marks + i * MARKS;
  int segment = segment_of(&message->msg_hdr);
  marks[0] = (int32_t)message->msg_len;
  marks[1] = segment > 0 ? segment : (int32_t)message->msg_len;
  if (socket->family == AF_INET) {
    struct sockaddr_in *from = (struct sockaddr_in *)&socket->from[i];
    marks[2] = ntohs(from->sin_port);
    marks[3] = 0;
    marks[4] = (int32_t)ntohl(from->sin_addr.s_addr);
    return;
  }
  struct sockaddr_in6 *from = &socket->from[i];
  marks[2] = ntohs(from->sin6_port);
  marks[3] = (int32_t)from->sin6_scope_id;
  for (int word = 0; word < 4; word++) {
    uint32_t value;
    memcpy(&value, from->sin6_addr.s6_addr + 4 * word, 4);
    marks[4 + word] = (int32_t)ntohl(value);
  }
}

static void receive(udp_socket *socket) {
  int bytes = 0;
  for (int count = 0; count < TURN_MESSAGES && bytes < TURN_BYTES && !socket->closing;) {
    for (int i = 0; i < socket->vector; i++) {
      socket->messages[i].msg_hdr.msg_namelen = sizeof socket->from[i];
      socket->messages[i].msg_hdr.msg_controllen = sizeof socket->control[i];
    }
    int got = recvmmsg(socket->fd, socket->messages, (unsigned)socket->vector, MSG_DONTWAIT, NULL);
    if (got < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK) tell(socket, FAILED, -errno);
      return;
    }
    int total = 0;
    for (int i = 0; i < got; i++) {
      mark(socket, i);
      total += (int)socket->messages[i].msg_len;
    }
    int full = got == socket->vector;
    socket->vector = total > got * LONG_MESSAGE ? FEW_MESSAGES : MOST_MESSAGES;
    count += got;
    bytes += total;
    tell(socket, MESSAGES, got);
    if (!full) return;
  }
}

static void ready(uv_poll_t *poll, int status, int events);

static void watch(udp_socket *socket) {
  uv_poll_start(&socket->poll, UV_READABLE | (socket->wanted ? UV_WRITABLE : 0), ready);
}

static void ready(uv_poll_t *poll, int status, int events) {
  udp_socket *socket = poll->data;
  if (status < 0) {
    /* The poll has stopped; an error that the socket holds is taken by reading. */
    receive(socket);
    if (!socket->closing) watch(socket);
    return;
  }
  if ((events & UV_WRITABLE) && socket->wanted) {
    socket->wanted = 0;
    watch(socket);
    tell(socket, WRITABLE, 0);
  }
  if (!socket->closing && (events & UV_READABLE)) receive(socket);
}

static int open_fd(int family, int port, int buffer_bytes) {
  int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);
  if (fd < 0) return -errno;
  int on = 1, result;
  if (family == AF_INET) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    result = bind(fd, (struct sockaddr *)&to, sizeof to);
  } else {
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    result = bind(fd, (struct sockaddr *)&to, sizeof to);
  }
  if (result < 0) {
    result = -errno;
    close(fd);
    return result;
  }
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
  return fd;
}

static napi_value udp_open(napi_env env, napi_callback_info info) {
  napi_value arguments[6], name, result;
  size_t count = 6, room_length = 0, marks_length = 0;
  void *room = NULL, *marks = NULL;
  napi_typedarray_type type;
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  napi_get_typedarray_info(env, arguments[3], &type, &room_length, &room, NULL, NULL);
  napi_get_typedarray_info(env, arguments[4], &type, &marks_length, &marks, NULL, NULL);
  if (room_length < ROOM_LENGTH || type != napi_int32_array || marks_length < MARKS) {
    napi_throw_range_error(env, NULL, "no room for a message");
    return NULL;
  }
  size_t rooms = room_length / ROOM_LENGTH;
  if (rooms > marks_length / MARKS) rooms = marks_length / MARKS;
  if (rooms < MOST_MESSAGES) {
    napi_throw_range_error(env, NULL, "room for too few messages");
    return NULL;
  }
  int family = int_of(env, arguments[0]) == 6 ? AF_INET6 : AF_INET;
  int fd = open_fd(family, int_of(env, arguments[1]), int_of(env, arguments[2]));
  if (fd < 0) return number(env, fd);
  udp_socket *socket = calloc(1, sizeof *socket);
  uv_loop_t *loop;
  if (socket == NULL || napi_get_uv_event_loop(env, &loop) != napi_ok ||
      uv_poll_init(loop, &socket->poll, fd) != 0) {
    free(socket);
    close(fd);
    return number(env, -ENOMEM);
  }
  int on = 1;
  socket->env = env;
  socket->fd = fd;
  socket->family = family;
  socket->poll.data = socket;
  socket->vector = MOST_MESSAGES;
  socket->marks = marks;
  socket->gro = setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on) == 0;
  for (int i = 0; i < MOST_MESSAGES; i++) {
    socket->parts[i].iov_base = (char *)room + (size_t)i * ROOM_LENGTH;
    socket->parts[i].iov_len = ROOM_LENGTH;
    struct msghdr *message = &socket->messages[i].msg_hdr;
    message->msg_name = &socket->from[i];
    message->msg_iov = &socket->parts[i];
    message->msg_iovlen = 1;
    message->msg_control = socket->control[i].bytes;
  }
  napi_create_string_utf8(env, "COVE_UDP", NAPI_AUTO_LENGTH, &name);
  napi_async_init(env, NULL, name, &socket->context);
  napi_create_reference(env, arguments[5], 1, &socket->on_event);
  napi_create_reference(env, arguments[3], 1, &socket->room_ref);
  napi_create_reference(env, arguments[4], 1, &socket->marks_ref);
  napi_add_async_cleanup_hook(env, cleanup, socket, &socket->hook);
  watch(socket);
  socket->owners = 1;
  if (napi_create_external(env, socket, forgotten, NULL, &result) != napi_ok) {
    start_closing(socket);
    return number(env, -ENOMEM);
  }
  socket->owners++;
  return result;
}

static udp_socket *socket_of(napi_env env, napi_value value) {
  void *data = NULL;
  napi_get_value_external(env, value, &data);
  return data;
}

static napi_value udp_name(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  size_t count = 2, length = 0;
  napi_typedarray_type type;
  void *data = NULL;
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  udp_socket *socket = socket_of(env, arguments[0]);
  napi_get_typedarray_info(env, arguments[1], &type, &length, &data, NULL, NULL);
  if (socket == NULL || socket->closing || type != napi_int32_array || length < 4) return NULL;
  int32_t *out = data;
  struct sockaddr_in6 own;
  socklen_t own_length = sizeof own;
  if (getsockname(socket->fd, (struct sockaddr *)&own, &own_length) == 0) {
    out[0] = ntohs(own.sin6_family == AF_INET6 ? own.sin6_port
                                               : ((struct sockaddr_in *)&own)->sin_port);
  }
  socklen_t size = sizeof out[1];
  getsockopt(socket->fd, SOL_SOCKET, SO_RCVBUF, &out[1], &size);
  getsockopt(socket->fd, SOL_SOCKET, SO_SNDBUF, &out[2], &size);
  out[3] = socket->gro;
  return NULL;
}

static napi_value udp_send(napi_env env, napi_callback_info info) {
  napi_value arguments[7];
  size_t count = 7, size = 0, address_size = 0;
  napi_typedarray_type type;
  void *data = NULL, *address = NULL;
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  udp_socket *socket = socket_of(env, arguments[0]);
  napi_get_typedarray_info(env, arguments[1], &type, &size, &data, NULL, NULL);
  int offset = int_of(env, arguments[2]), length = int_of(env, arguments[3]);
  int segment = int_of(env, arguments[4]);
  napi_get_typedarray_info(env, arguments[5], &type, &address_size, &address, NULL, NULL);
  if (socket == NULL || socket->closing) return number(env, -EBADF);
  if (data == NULL || address == NULL || offset < 0 || length < 0 || segment < 0 ||
      segment > 65535 || (size_t)offset + (size_t)length > size) {
    return number(env, -EINVAL);
  }
  struct sockaddr_in6 to;
  struct iovec part = {.iov_base = (char *)data + offset, .iov_len = (size_t)length};
  struct msghdr message = {.msg_name = &to, .msg_iov = &part, .msg_iovlen = 1};
  memset(&to, 0, sizeof to);
  if (socket->family == AF_INET && address_size == 6) {
    struct sockaddr_in *to4 = (struct sockaddr_in *)&to;
    to4->sin_family = AF_INET;
    memcpy(&to4->sin_addr, address, 4);
    memcpy(&to4->sin_port, (char *)address + 4, 2);
    message.msg_namelen = sizeof *to4;
  } else if (socket->family == AF_INET6 && address_size == 18) {
    to.sin6_family = AF_INET6;
    memcpy(&to.sin6_addr, address, 16);
    memcpy(&to.sin6_port, (char *)address + 16, 2);
    to.sin6_scope_id = (uint32_t)int_of(env, arguments[6]);
    message.msg_namelen = sizeof to;
  } else {
    return number(env, -EAFNOSUPPORT);
  }
  union {
    char bytes[CMSG_SPACE(sizeof(uint16_t))];
    struct cmsghdr align;
  } control;
  if (segment > 0 && segment < length) {
    uint16_t gso = (uint16_t)segment;
    memset(&control, 0, sizeof control);
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = IPPROTO_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof gso);
    memcpy(CMSG_DATA(c), &gso, sizeof gso);
  }
  ssize_t sent;
  do sent = sendmsg(socket->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return number(env, sent < 0 ? -errno : 0);
}

static napi_value udp_want_writable(napi_env env, napi_callback_info info) {
  napi_value argument;
  size_t count = 1;
  napi_get_cb_info(env, info, &count, &argument, NULL, NULL);
  udp_socket *socket = socket_of(env, argument);
  if (socket == NULL || socket->closing || socket->wanted) return NULL;
  socket->wanted = 1;
  watch(socket);
  return NULL;
}

static napi_value udp_close(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  size_t count = 2;
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  udp_socket *socket = socket_of(env, arguments[0]);
  if (socket == NULL || socket->closing) return NULL;
  napi_create_reference(env, arguments[1], 1, &socket->on_closed);
  start_closing(socket);
  return NULL;
}

static napi_value if_index(napi_env env, napi_callback_info info) {
  napi_value argument;
  size_t count = 1, length = 0;
  char name[IF_NAMESIZE] = "";
  napi_get_cb_info(env, info, &count, &argument, NULL, NULL);
  napi_get_value_string_utf8(env, argument, name, sizeof name, &length);
  return number(env, (int32_t)if_nametoindex(name));
}

static napi_value if_name(napi_env env, napi_callback_info info) {
  napi_value argument, result = NULL;
  size_t count = 1;
  char name[IF_NAMESIZE] = "";
  napi_get_cb_info(env, info, &count, &argument, NULL, NULL);
  if (if_indextoname((unsigned)int_of(env, argument), name) == NULL) name[0] = '\0';
  napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &result);
  return result;
}

/*
 * Chunks of 64 KiB come and go by the thousand while data is received. glibc gives what is free at the end of its heap back
 * to the system beyond 128 KiB, and every page of the next chunk is a fault then: up to a third of the receiver's time. It learns
 * to keep twice the size of the largest block that was mapped and freed; this one is never touched.
 */
static void keep_freed_memory(void) {
  void *volatile block = malloc(KEPT_BLOCK);
  free(block);
}

int cove_udp_init(napi_env env, napi_value exports) {
  keep_freed_memory();
  return cove_export(env, exports, "udpOpen", udp_open) &&
         cove_export(env, exports, "udpName", udp_name) &&
         cove_export(env, exports, "udpSend", udp_send) &&
         cove_export(env, exports, "udpWantWritable", udp_want_writable) &&
         cove_export(env, exports, "udpClose", udp_close) &&
         cove_export(env, exports, "ifIndex", if_index) &&
         cove_export(env, exports, "ifName", if_name);
}
