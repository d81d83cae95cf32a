{
  "targets": [
    {
      "target_name": "cove_native",
      "sources": [
        "native/module.c",
        "native/netlink.c",
        "native/offload.c",
        "native/offloadcheck.c",
        "native/tun.c",
        "native/udp.c"
      ],
      "cflags": ["-O2", "-Wall", "-Wextra", "-Werror=implicit-function-declaration"],
      "defines": ["NAPI_VERSION=8", "_GNU_SOURCE"]
    }
  ]
}
