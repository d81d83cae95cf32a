/* Cutting and joining for tests, without a device: memory in, memory out. */
#include "module.h"

#include <stdlib.h>
#include <string.h>

#include "offload.h"

static int add(napi_env env, napi_value list, uint32_t at, const void *bytes, size_t length) {
  napi_value buffer, array;
  void *to;
  if (napi_create_arraybuffer(env, length, &to, &buffer) != napi_ok) return 0;
  memcpy(to, bytes, length);
  return napi_create_typedarray(env, napi_uint8_array, length, buffer, 0, &array) == napi_ok &&
         napi_set_element(env, list, at, array) == napi_ok;
}

/* offloadSplit(frame, room): the packets of a frame as read from a device; null: not to be understood. */
static napi_value split(napi_env env, napi_callback_info info) {
  size_t argc = 2, length;
  napi_value argv[2], list;
  uint32_t room, count = 0;
  void *bytes;
  struct cove_split state;
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok || argc != 2 ||
      napi_get_typedarray_info(env, argv[0], NULL, &length, &bytes, NULL, NULL) != napi_ok ||
      napi_get_value_uint32(env, argv[1], &room) != napi_ok ||
      napi_create_array(env, &list) != napi_ok) {
    napi_throw_type_error(env, "EINVAL", "offloadSplit takes a frame and a length");
    return NULL;
  }
  uint8_t *frame = malloc(length + 1), *to = malloc((size_t)room + 1);
  int done = frame == NULL || to == NULL;
  if (!done) {
    memcpy(frame, bytes, length);
    if (!cove_split_start(&state, frame, length)) {
      napi_get_null(env, &list);
      done = 1;
    }
  }
  while (!done) {
    int n = cove_split_next(&state, to, room);
    done = n == 0 || (n > 0 && !add(env, list, count++, to, (size_t)n));
  }
  free(frame);
  free(to);
  return list;
}

/* offloadJoin(packets): the frames as written to a device, one train at a time; 10 zeros precede what goes alone. */
static napi_value join(napi_env env, napi_callback_info info) {
  size_t argc = 1, length;
  napi_value argv[1], list, packet;
  uint32_t packets, count = 0;
  void *bytes;
  struct cove_train train = {0};
  struct cove_segment segment;
  uint8_t single[COVE_FRAME_LENGTH] = {0};
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok || argc != 1 ||
      napi_get_array_length(env, argv[0], &packets) != napi_ok ||
      napi_create_array(env, &list) != napi_ok ||
      (train.frame = malloc(COVE_FRAME_LENGTH)) == NULL) {
    napi_throw_type_error(env, "EINVAL", "offloadJoin takes packets");
    return NULL;
  }
  for (uint32_t i = 0; i <= packets; i++) {
    int is_segment = 0;
    if (i < packets) {
      if (napi_get_element(env, argv[0], i, &packet) != napi_ok ||
          napi_get_typedarray_info(env, packet, NULL, &length, &bytes, NULL, NULL) != napi_ok ||
          length > 65535)
        break;
      is_segment = cove_segment_parse(&segment, bytes, length);
      if (is_segment && cove_train_is_flow(&train, &segment) &&
          cove_train_append(&train, &segment))
        continue;
    }
    if (train.length > 0) add(env, list, count++, train.frame, cove_train_finish(&train));
    train.length = 0;
    if (is_segment) {
      cove_train_start(&train, &segment);
    } else if (i < packets) {
      memcpy(single + COVE_VNET_LENGTH, bytes, length);
      add(env, list, count++, single, COVE_VNET_LENGTH + length);
    }
  }
  free(train.frame);
  return list;
}

int cove_offloadcheck_init(napi_env env, napi_value exports) {
  return cove_export(env, exports, "offloadSplit", split) &&
         cove_export(env, exports, "offloadJoin", join);
}
