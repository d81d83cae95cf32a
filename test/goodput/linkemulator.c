// A link between two ports with loss, delay, jitter, reordering, duplication, corruption, rate and queue; for kernels
// without netem. Built by the suite with the system's cc.
//
//   linkemulator [--delay MS] [--jitter MS] [--loss P] [--reorder P] [--duplicate P] [--corrupt P]
//                [--rate MBIT] [--queue PACKETS] [--seed N] PORT PORT
//
// PORT is tun:NAMESPACE:DEVICE (made here) or udp:LOCAL:REMOTE (datagrams on loopback, one IP packet each). Both directions
// are alike. Prints "ready" once both ports are there and ends with its standard input.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { BIGGEST = 2048, CAPACITY = 1 << 16, READS = 64 };

struct packet {
  int64_t at; /* nanoseconds */
  uint64_t order;
  int length;
  unsigned char bytes[BIGGEST];
};

/* A binary heap by time of departure. */
struct direction {
  int from, to;
  int64_t busy;
  int count;
  struct packet *heap[CAPACITY];
};

static double delay_ms, jitter_ms, loss, reorder, duplicate, corrupt, rate_mbit;
static int queue_limit = 5000;
static uint64_t state = 88172645463325252ULL, order;

static double draw(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (double)(state >> 11) / 9007199254740992.0;
}

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

static int earlier(const struct packet *a, const struct packet *b) {
  return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static void push(struct direction *d, struct packet *p) {
  int i = d->count++;
  while (i > 0 && earlier(p, d->heap[(i - 1) / 2])) {
    d->heap[i] = d->heap[(i - 1) / 2];
    i = (i - 1) / 2;
  }
  d->heap[i] = p;
}

static struct packet *pop(struct direction *d) {
  struct packet *first = d->heap[0], *last = d->heap[--d->count];
  int i = 0;
  for (;;) {
    int child = 2 * i + 1;
    if (child >= d->count) break;
    if (child + 1 < d->count && earlier(d->heap[child + 1], d->heap[child])) child++;
    if (!earlier(d->heap[child], last)) break;
    d->heap[i] = d->heap[child];
    i = child;
  }
  d->heap[i] = last;
  return first;
}

static void enqueue(struct direction *d, const unsigned char *bytes, int length, int64_t at) {
  struct packet *p;
  if (d->count == CAPACITY || (p = malloc(sizeof *p)) == NULL) return;
  p->at = at;
  p->order = order++;
  p->length = length;
  memcpy(p->bytes, bytes, length);
  if (draw() < corrupt) p->bytes[(int)(draw() * length)] ^= 1 << (int)(draw() * 8);
  push(d, p);
}

static void arrive(struct direction *d, const unsigned char *bytes, int length) {
  int64_t t = now(), at = t;
  if (draw() < loss) return;
  if (rate_mbit > 0) {
    int64_t per_packet = (int64_t)(length * 8000.0 / rate_mbit);
    if (d->busy > t && (d->busy - t) / (per_packet > 0 ? per_packet : 1) >= queue_limit) return;
    d->busy = (d->busy > t ? d->busy : t) + per_packet;
    at = d->busy;
  } else if (d->count >= queue_limit) {
    return;
  }
  if (draw() >= reorder) at += (int64_t)((delay_ms + (2 * draw() - 1) * jitter_ms) * 1e6);
  enqueue(d, bytes, length, at);
  if (draw() < duplicate) enqueue(d, bytes, length, at);
}

static int open_tun(const char *namespace, const char *device) {
  char path[256];
  snprintf(path, sizeof path, "/run/netns/%s", namespace);
  int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), there = open(path, O_RDONLY);
  if (home < 0 || there < 0 || setns(there, CLONE_NEWNET) < 0) die(path);
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  struct ifreq request = {0};
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  snprintf(request.ifr_name, IFNAMSIZ, "%s", device);
  if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0) die(device);
  if (setns(home, CLONE_NEWNET) < 0) die("setns");
  close(home);
  close(there);
  return fd;
}

static int open_udp(int local, int remote) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), size = 8 << 20;
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
  a.sin_port = htons(local);
  if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0) die("bind");
  a.sin_port = htons(remote);
  if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0) die("connect");
  return fd;
}

static int open_port(char *text) {
  char *kind = strtok(text, ":"), *first = strtok(NULL, ":"), *second = strtok(NULL, ":");
  if (kind != NULL && first != NULL && second != NULL) {
    if (strcmp(kind, "tun") == 0) return open_tun(first, second);
    if (strcmp(kind, "udp") == 0) return open_udp(atoi(first), atoi(second));
  }
  fprintf(stderr, "not a port: %s\n", text);
  exit(2);
}

int main(int count, char **words) {
  static struct direction way[2];
  int i = 1;
  for (; i + 1 < count && words[i][0] == '-'; i += 2) {
    const char *name = words[i] + 2;
    double value = atof(words[i + 1]);
    if (strcmp(name, "delay") == 0) delay_ms = value;
    else if (strcmp(name, "jitter") == 0) jitter_ms = value;
    else if (strcmp(name, "loss") == 0) loss = value;
    else if (strcmp(name, "reorder") == 0) reorder = value;
    else if (strcmp(name, "duplicate") == 0) duplicate = value;
    else if (strcmp(name, "corrupt") == 0) corrupt = value;
    else if (strcmp(name, "rate") == 0) rate_mbit = value;
    else if (strcmp(name, "queue") == 0) queue_limit = (int)value;
    else if (strcmp(name, "seed") == 0) state ^= (uint64_t)value * 0x9e3779b97f4a7c15ULL;
    else { fprintf(stderr, "no option %s\n", words[i]); return 2; }
  }
  if (count - i != 2) { fprintf(stderr, "two ports are needed\n"); return 2; }
  way[0].from = way[1].to = open_port(words[i]);
  way[1].from = way[0].to = open_port(words[i + 1]);
  int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  for (int warm = 0; warm < 8; warm++) draw();
  printf("ready\n");
  fflush(stdout);
  for (;;) {
    int64_t next = 0;
    for (int d = 0; d < 2; d++) {
      if (way[d].count > 0 && (next == 0 || way[d].heap[0]->at < next)) next = way[d].heap[0]->at;
    }
    struct itimerspec alarm = {.it_value = {next / 1000000000, next % 1000000000}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &alarm, NULL);
    struct pollfd fds[4] = {
        {way[0].from, POLLIN, 0}, {way[1].from, POLLIN, 0}, {timer, POLLIN, 0}, {0, POLLIN, 0}};
    if (poll(fds, 4, -1) < 0 && errno != EINTR) die("poll");
    for (int d = 0; d < 2; d++) {
      unsigned char bytes[BIGGEST];
      for (int n = 0; n < READS; n++) {
        int length = read(way[d].from, bytes, sizeof bytes);
        if (length <= 0) break;
        arrive(&way[d], bytes, length);
      }
      int64_t t = now();
      while (way[d].count > 0 && way[d].heap[0]->at <= t) {
        struct packet *p = pop(&way[d]);
        if (write(way[d].to, p->bytes, p->length) < 0 && errno == EINVAL) fprintf(stderr, "odd packet\n");
        free(p);
      }
    }
    uint64_t expired;
    if (fds[2].revents && read(timer, &expired, sizeof expired) < 0 && errno != EAGAIN) die("timer");
    char byte;
    if (fds[3].revents && read(0, &byte, 1) <= 0) return 0;
  }
}
