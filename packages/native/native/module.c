/* The addon's entry: each file adds its functions. */
#include "module.h"

int cove_export(napi_env env, napi_value exports, const char *name, napi_callback function) {
  napi_value value;
  return napi_create_function(env, name, NAPI_AUTO_LENGTH, function, NULL, &value) == napi_ok &&
         napi_set_named_property(env, exports, name, value) == napi_ok;
}

NAPI_MODULE_INIT() {
  if (!cove_udp_init(env, exports) || !cove_tun_init(env, exports) ||
      !cove_netlink_init(env, exports) || !cove_offloadcheck_init(env, exports))
    return NULL;
  return exports;
}
