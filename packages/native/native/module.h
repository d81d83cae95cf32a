/* What the files of the addon share. */
#ifndef COVE_MODULE_H
#define COVE_MODULE_H
#include <node_api.h>

/* Adds a function to the module's exports; false: an exception is pending. */
int cove_export(napi_env env, napi_value exports, const char *name, napi_callback function);

int cove_udp_init(napi_env env, napi_value exports);
int cove_tun_init(napi_env env, napi_value exports);
int cove_netlink_init(napi_env env, napi_value exports);
int cove_offloadcheck_init(napi_env env, napi_value exports);

#endif
