/* TUN devices. */
#include "module.h"

int cove_tun_init(napi_env env, napi_value exports) {
  (void)env;
  (void)exports;
  return 1;
}
