/* One rtnetlink request and its answer: the messages themselves are made in TypeScript. */
#include "module.h"

#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <uv.h>

/* The kernel answers at once; this is for kernels that do not. */
#define TIMEOUT_SECONDS 5

static int acknowledged(int fd) {
  char answer[8192] __attribute__((aligned(NLMSG_ALIGNTO)));
  for (;;) {
    ssize_t n = recv(fd, answer, sizeof answer, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    const struct nlmsghdr *h = (const struct nlmsghdr *)answer;
    for (; NLMSG_OK(h, (size_t)n); h = NLMSG_NEXT(h, n)) {
      if (h->nlmsg_type != NLMSG_ERROR) continue;
      return -((const struct nlmsgerr *)NLMSG_DATA(h))->error;
    }
  }
}

/* netlink(message): the error's number, 0 when the kernel did it. */
static napi_value request(napi_env env, napi_callback_info info) {
  size_t argc = 1, length;
  napi_value argv[1], result;
  void *bytes;
  int error = 0;
  struct sockaddr_nl kernel;
  struct timeval limit = {TIMEOUT_SECONDS, 0};
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok || argc != 1 ||
      napi_get_typedarray_info(env, argv[0], NULL, &length, &bytes, NULL, NULL) != napi_ok ||
      length < sizeof(struct nlmsghdr)) {
    napi_throw_type_error(env, "EINVAL", "netlink takes one message");
    return NULL;
  }
  memset(&kernel, 0, sizeof kernel);
  kernel.nl_family = AF_NETLINK;
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) {
    error = errno;
  } else {
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (sendto(fd, bytes, length, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0) error = errno;
    else error = acknowledged(fd);
    close(fd);
  }
  return napi_create_int32(env, error, &result) == napi_ok ? result : NULL;
}

int cove_netlink_init(napi_env env, napi_value exports) {
  return cove_export(env, exports, "netlink", request);
}
