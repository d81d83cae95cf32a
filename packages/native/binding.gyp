{
  "targets": [
    {
      "target_name": "cove_native",
      "sources": ["native/module.c", "native/udp.c", "native/tun.c"],
      "cflags": ["-O2", "-Wall", "-Wextra", "-Werror=implicit-function-declaration"],
      "defines": ["NAPI_VERSION=8", "_GNU_SOURCE"]
    }
  ]
}
