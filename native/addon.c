/* The table of functions that src/io/native.ts types. */
#include "addon.h"

#define FUNCTION(name, callback) {name, NULL, callback, NULL, NULL, NULL, napi_enumerable, NULL}

NAPI_MODULE_INIT() {
  const napi_property_descriptor functions[] = {
      FUNCTION("openPacketSocket", open_packet_socket),
      FUNCTION("openReplySocket", open_reply_socket),
      FUNCTION("setFilter", set_filter),
      FUNCTION("packetStatistics", packet_statistics),
      FUNCTION("openFrameCounters", open_frame_counters),
      FUNCTION("compileFilter", compile_filter),
      FUNCTION("runFilter", run_filter),
      FUNCTION("openTun", open_tun),
      FUNCTION("openGueReceiver", open_gue_receiver),
      FUNCTION("openGueSender", open_gue_sender),
      FUNCTION("hasUdpSegment", has_udp_segment),
      FUNCTION("testOffloads", test_offloads),
      FUNCTION("close", close_descriptor),
      FUNCTION("createReceiver", create_receiver),
      FUNCTION("addLargeSlots", add_large_slots),
      FUNCTION("receive", receive_burst),
      FUNCTION("createGueSink", create_gue_sink),
      FUNCTION("createTunSink", create_tun_sink),
      FUNCTION("openRawSender", open_raw_sender),
      FUNCTION("createRawSink", create_raw_sink),
      FUNCTION("send", send_burst),
      FUNCTION("sumChecksums", sum_checksums),
      FUNCTION("verifyChecksums", verify_checksums),
      FUNCTION("openSockDiag", open_sock_diag),
      FUNCTION("createSocketLookup", create_socket_lookup),
      FUNCTION("lookUpSockets", look_up_sockets),
      FUNCTION("createWake", create_wake),
      FUNCTION("wake", wake),
      FUNCTION("createWaiter", create_waiter),
      FUNCTION("wait", wait_ready),
      FUNCTION("mapFile", map_file),
      FUNCTION("lockFile", lock_file),
      FUNCTION("pinThread", pin_thread),
      FUNCTION("sendDescriptors", send_descriptors),
      FUNCTION("receiveDescriptors", receive_descriptors),
      FUNCTION("peerCredentials", peer_credentials),
      FUNCTION("socketDrops", socket_drops),
      FUNCTION("notify", notify),
  };
  if (napi_define_properties(env, exports, sizeof functions / sizeof functions[0], functions) != napi_ok) return NULL;
  return exports;
}
