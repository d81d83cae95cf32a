/* UDP segmentation and receive offload. */
#include "module.h"

int cove_udp_init(napi_env env, napi_value exports) {
  (void)env;
  (void)exports;
  return 1;
}
