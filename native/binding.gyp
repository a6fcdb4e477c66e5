{
  "targets": [
    {
      "target_name": "haflinger",
      "sources": [
        "addon.c",
        "arguments.c",
        "checksum.c",
        "error.c",
        "filter.c",
        "gue_send.c",
        "gue_socket.c",
        "handle.c",
        "map.c",
        "notify.c",
        "offload_test.c",
        "packet_socket.c",
        "pass_descriptors.c",
        "raw_send.c",
        "receive.c",
        "rule_counters.c",
        "send.c",
        "sock_diag.c",
        "socket.c",
        "split.c",
        "tun.c",
        "tun_send.c",
        "wait.c"
      ],
      "include_dirs": ["include"],
      "libraries": ["-ldl"],
      "defines": ["NAPI_VERSION=8", "_GNU_SOURCE"],
      "cflags!": ["-O3", "-Wno-unused-parameter"],
      "cflags": ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2", "-fvisibility=hidden"]
    }
  ]
}
