/* TUN devices (Linux): opened with offload where the kernel has it, read through libuv's poll into slots of the caller,
 * written in trains. */
#include "module.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <uv.h>

#include "offload.h"

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
/* Flows whose packets are joined at a time. */
#define TRAINS 8

struct tun {
  napi_env env;
  napi_ref callback, memory;
  napi_async_context context;
  napi_async_cleanup_hook_handle cleanup;
  uv_poll_t poll;
  int fd;
  int is_closed;
  /* Held by the open device and by its JavaScript object. */
  int references;
  char name[IFNAMSIZ];
  uint8_t *slots;
  uint32_t *lengths;
  size_t capacity, slot_size, headroom, room;
  struct cove_split split;
  uint8_t frame[COVE_FRAME_LENGTH];
  struct cove_train trains[TRAINS];
  unsigned oldest;
  uint32_t read_drops, write_drops;
};

static void release(struct tun *t) {
  if (--t->references > 0) return;
  for (int i = 0; i < TRAINS; i++) free(t->trains[i].frame);
  free(t);
}

static void on_handle_closed(uv_handle_t *handle) {
  struct tun *t = handle->data;
  if (t->cleanup != NULL) napi_remove_async_cleanup_hook(t->cleanup);
  release(t);
}

static void drop_callback(struct tun *t) {
  if (t->callback != NULL) napi_delete_reference(t->env, t->callback);
  if (t->memory != NULL) napi_delete_reference(t->env, t->memory);
  t->callback = t->memory = NULL;
}

/* The device is gone when this returns, unless somebody made it persistent. */
static void shut(struct tun *t) {
  if (t->is_closed) return;
  t->is_closed = 1;
  uv_poll_stop(&t->poll);
  close(t->fd);
  uv_close((uv_handle_t *)&t->poll, on_handle_closed);
}

static void on_environment_end(napi_async_cleanup_hook_handle handle, void *data) {
  struct tun *t = data;
  (void)handle;
  if (!t->is_closed) shut(t);
}

static void on_finalize(napi_env env, void *data, void *hint) {
  struct tun *t = data;
  (void)hint;
  shut(t);
  drop_callback(t);
  napi_async_destroy(env, t->context);
  release(t);
}

/* Fills slots until none is left or there is nothing to read. */
static uint32_t fill(struct tun *t, int may_read, int *error) {
  uint32_t count = 0;
  while (count < t->capacity) {
    uint8_t *slot = t->slots + count * t->slot_size + t->headroom;
    int n = cove_split_next(&t->split, slot, t->room);
    if (n > 0) {
      t->lengths[count++] = (uint32_t)n;
    } else if (n < 0) {
      t->read_drops++;
    } else {
      if (!may_read) break;
      ssize_t got = read(t->fd, t->frame, sizeof t->frame);
      if (got < 0) {
        if (errno == EINTR) continue;
        *error = errno;
        break;
      }
      if (!cove_split_start(&t->split, t->frame, (size_t)got)) t->read_drops++;
    }
  }
  return count;
}

static void hand_over(struct tun *t, uint32_t count) {
  napi_env env = t->env;
  napi_handle_scope scope;
  napi_value callback, receiver, argument, error;
  bool pending = false;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  if (napi_get_reference_value(env, t->callback, &callback) == napi_ok &&
      napi_get_undefined(env, &argument) == napi_ok && napi_get_global(env, &receiver) == napi_ok &&
      napi_create_uint32(env, count, &argument) == napi_ok) {
    napi_make_callback(env, t->context, receiver, callback, 1, &argument, NULL);
    if (napi_is_exception_pending(env, &pending) == napi_ok && pending &&
        napi_get_and_clear_last_exception(env, &error) == napi_ok)
      napi_fatal_exception(env, error);
  }
  napi_close_handle_scope(env, scope);
}

/* One batch for each turn of the loop, so that what the packets cause gets its turn, too. */
static void on_readable(uv_poll_t *handle, int status, int events) {
  struct tun *t = handle->data;
  int error = status < 0 ? -status : 0;
  uint32_t count = 0;
  (void)events;
  if (error == 0) count = fill(t, 1, &error);
  if (count > 0) hand_over(t, count);
  /* Poll says nothing of the rest of a frame that did not find a slot. */
  while (!t->is_closed && t->split.at < t->split.length) {
    int none;
    count = fill(t, 0, &none);
    if (count > 0) hand_over(t, count);
  }
  if (t->is_closed || error == 0 || error == EAGAIN) return;
  /* Somebody deleted the device: it would be readable for ever. */
  uv_poll_stop(handle);
  hand_over(t, 0);
}

static int put(struct tun *t, const uint8_t *frame, size_t length) {
  ssize_t n;
  do n = write(t->fd, frame, length);
  while (n < 0 && errno == EINTR);
  return n == (ssize_t)length;
}

static void depart(struct tun *t, struct cove_train *train) {
  if (train->length == 0) return;
  uint32_t count = train->count;
  if (!put(t, train->frame, cove_train_finish(train))) t->write_drops += count;
  train->length = 0;
}

static void put_single(struct tun *t, const uint8_t *packet, size_t length) {
  uint8_t frame[COVE_VNET_LENGTH + 2048];
  if (length > sizeof frame - COVE_VNET_LENGTH) {
    t->write_drops++;
    return;
  }
  memset(frame, 0, COVE_VNET_LENGTH);
  memcpy(frame + COVE_VNET_LENGTH, packet, length);
  if (!put(t, frame, COVE_VNET_LENGTH + length)) t->write_drops++;
}

static void add(struct tun *t, const uint8_t *packet, size_t length) {
  struct cove_segment segment;
  struct cove_train *train = NULL;
  if (!cove_segment_parse(&segment, packet, length)) {
    if (cove_is_tcp_control(packet, length))
      for (int i = 0; i < TRAINS; i++) depart(t, &t->trains[i]);
    put_single(t, packet, length);
    return;
  }
  for (int i = 0; i < TRAINS && train == NULL; i++)
    if (cove_train_is_flow(&t->trains[i], &segment)) train = &t->trains[i];
  if (train != NULL) {
    if (cove_train_append(train, &segment)) return;
    depart(t, train);
  }
  for (int i = 0; i < TRAINS && train == NULL; i++)
    if (t->trains[i].length == 0) train = &t->trains[i];
  if (train == NULL) {
    train = &t->trains[t->oldest++ % TRAINS];
    depart(t, train);
  }
  if (train->frame == NULL) train->frame = malloc(COVE_FRAME_LENGTH);
  if (train->frame == NULL) put_single(t, packet, length);
  else cove_train_start(train, &segment);
}

static napi_value fail(napi_env env, const char *call, int error) {
  const char *name = uv_err_name(-error);
  char text[128];
  snprintf(text, sizeof text, "%s %s", call, name);
  napi_throw_error(env, name, text);
  return NULL;
}

static int ready(struct tun *t, const char *wanted) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  memcpy(request.ifr_name, wanted, IFNAMSIZ - 1);
  request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
  if (ioctl(t->fd, TUNSETIFF, &request) < 0) return errno;
  memcpy(t->name, request.ifr_name, IFNAMSIZ);
  /* What the kernel does not know it refuses: UDP since 6.2, the rest long before. */
  unsigned tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
  if (ioctl(t->fd, TUNSETOFFLOAD, tcp | TUN_F_USO4 | TUN_F_USO6) < 0)
    ioctl(t->fd, TUNSETOFFLOAD, tcp);
  return 0;
}

static struct tun *open_device(const char *wanted, uv_loop_t *loop, int *error, const char **call) {
  struct tun *t = calloc(1, sizeof *t);
  *call = "open";
  *error = ENOMEM;
  if (t == NULL) return NULL;
  t->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  *error = errno;
  if (t->fd >= 0) {
    *call = "TUNSETIFF";
    *error = ready(t, wanted);
    if (*error == 0) *error = -uv_poll_init(loop, &t->poll, t->fd);
    if (*error == 0) return t;
    close(t->fd);
  }
  free(t);
  return NULL;
}

/* tunOpen(name, slots, lengths, slotSize, headroom, tailroom, onPackets(count)) -> device. A count of 0: the device
 * was deleted. */
static napi_value tun_open(napi_env env, napi_callback_info info) {
  size_t argc = 7, length, entries;
  napi_value argv[7], label, device;
  napi_typedarray_type type;
  char name[IFNAMSIZ];
  uint32_t slot_size, headroom, tailroom;
  void *slots, *lengths;
  uv_loop_t *loop;
  int error;
  const char *call;
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok || argc != 7 ||
      napi_get_value_string_utf8(env, argv[0], name, sizeof name, &length) != napi_ok ||
      napi_get_typedarray_info(env, argv[1], &type, &length, &slots, NULL, NULL) != napi_ok ||
      type != napi_uint8_array ||
      napi_get_typedarray_info(env, argv[2], &type, &entries, &lengths, NULL, NULL) != napi_ok ||
      type != napi_uint32_array || napi_get_value_uint32(env, argv[3], &slot_size) != napi_ok ||
      napi_get_value_uint32(env, argv[4], &headroom) != napi_ok ||
      napi_get_value_uint32(env, argv[5], &tailroom) != napi_ok || entries == 0 ||
      headroom + tailroom >= slot_size || entries * slot_size > length ||
      napi_get_uv_event_loop(env, &loop) != napi_ok)
    return fail(env, "tunOpen", EINVAL);
  struct tun *t = open_device(name, loop, &error, &call);
  if (t == NULL) return fail(env, call, error);
  t->env = env;
  t->slots = slots;
  t->lengths = lengths;
  t->capacity = entries;
  t->slot_size = slot_size;
  t->headroom = headroom;
  t->room = slot_size - headroom - tailroom;
  t->references = 2;
  t->poll.data = t;
  napi_value memory;
  if (napi_create_array_with_length(env, 2, &memory) != napi_ok ||
      napi_set_element(env, memory, 0, argv[1]) != napi_ok ||
      napi_set_element(env, memory, 1, argv[2]) != napi_ok ||
      napi_create_reference(env, memory, 1, &t->memory) != napi_ok ||
      napi_create_reference(env, argv[6], 1, &t->callback) != napi_ok ||
      napi_create_string_utf8(env, "cove:tun", NAPI_AUTO_LENGTH, &label) != napi_ok ||
      napi_async_init(env, NULL, label, &t->context) != napi_ok ||
      napi_create_external(env, t, on_finalize, NULL, &device) != napi_ok) {
    t->references = 1;
    shut(t);
    return fail(env, "tunOpen", ENOMEM);
  }
  napi_add_async_cleanup_hook(env, on_environment_end, t, &t->cleanup);
  uv_poll_start(&t->poll, UV_READABLE, on_readable);
  /* Whoever owns the device keeps the process alive, or not. */
  uv_unref((uv_handle_t *)&t->poll);
  return device;
}

static struct tun *device_of(napi_env env, napi_value value) {
  void *t = NULL;
  return napi_get_value_external(env, value, &t) == napi_ok ? t : NULL;
}

/* tunWrite(device, bytes, offset, length): takes one packet; it goes out with tunFlush at the latest. */
static napi_value tun_write(napi_env env, napi_callback_info info) {
  size_t argc = 4, size;
  napi_value argv[4];
  uint32_t offset, length;
  void *bytes;
  struct tun *t;
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok ||
      (t = device_of(env, argv[0])) == NULL ||
      napi_get_typedarray_info(env, argv[1], NULL, &size, &bytes, NULL, NULL) != napi_ok ||
      napi_get_value_uint32(env, argv[2], &offset) != napi_ok ||
      napi_get_value_uint32(env, argv[3], &length) != napi_ok || offset > size ||
      length > size - offset)
    return fail(env, "tunWrite", EINVAL);
  if (!t->is_closed) add(t, (const uint8_t *)bytes + offset, length);
  return NULL;
}

static struct tun *sole_argument(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1];
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok || argc < 1) return NULL;
  return device_of(env, argv[0]);
}

static napi_value tun_flush(napi_env env, napi_callback_info info) {
  struct tun *t = sole_argument(env, info);
  if (t == NULL) return fail(env, "tunFlush", EINVAL);
  for (int i = 0; i < TRAINS && !t->is_closed; i++) depart(t, &t->trains[i]);
  return NULL;
}

static napi_value tun_close(napi_env env, napi_callback_info info) {
  struct tun *t = sole_argument(env, info);
  if (t == NULL) return fail(env, "tunClose", EINVAL);
  shut(t);
  drop_callback(t);
  return NULL;
}

/* The number of the interface. */
static napi_value tun_index(napi_env env, napi_callback_info info) {
  struct tun *t = sole_argument(env, info);
  napi_value index;
  if (t == NULL) return fail(env, "tunIndex", EINVAL);
  if (napi_create_uint32(env, if_nametoindex(t->name), &index) != napi_ok) return NULL;
  return index;
}

/* The name the kernel gave it. */
static napi_value tun_name(napi_env env, napi_callback_info info) {
  struct tun *t = sole_argument(env, info);
  napi_value name;
  if (t == NULL) return fail(env, "tunName", EINVAL);
  if (napi_create_string_utf8(env, t->name, NAPI_AUTO_LENGTH, &name) != napi_ok) return NULL;
  return name;
}

/* Packets dropped because they were too long or not to be understood, and because the kernel refused them. */
static napi_value tun_drops(napi_env env, napi_callback_info info) {
  struct tun *t = sole_argument(env, info);
  napi_value pair, value;
  if (t == NULL) return fail(env, "tunDrops", EINVAL);
  if (napi_create_array_with_length(env, 2, &pair) != napi_ok ||
      napi_create_uint32(env, t->read_drops, &value) != napi_ok ||
      napi_set_element(env, pair, 0, value) != napi_ok ||
      napi_create_uint32(env, t->write_drops, &value) != napi_ok ||
      napi_set_element(env, pair, 1, value) != napi_ok)
    return NULL;
  return pair;
}

int cove_tun_init(napi_env env, napi_value exports) {
  return cove_export(env, exports, "tunOpen", tun_open) &&
         cove_export(env, exports, "tunWrite", tun_write) &&
         cove_export(env, exports, "tunFlush", tun_flush) &&
         cove_export(env, exports, "tunClose", tun_close) &&
         cove_export(env, exports, "tunIndex", tun_index) &&
         cove_export(env, exports, "tunName", tun_name) &&
         cove_export(env, exports, "tunDrops", tun_drops);
}
