/* The words of records, as src/io/packet-io.ts defines them; a test compares the two files name by name. */
#ifndef HAFL_LAYOUT_H
#define HAFL_LAYOUT_H

#define HEADROOM 256

#define RX_OFFSET 0
#define RX_LENGTH 1
#define RX_FLAGS 2
#define RX_GSO_TYPE 3
#define RX_GSO_SIZE 4
#define RX_CSUM_START 5
#define RX_CSUM_OFFSET 6
#define RX_TRAFFIC_CLASS 7
#define RX_PEER 8
#define RX_STRIDE 12

#define RX_NEEDS_CSUM 1
#define RX_TRUNCATED 2
#define RX_CWR_FIRST 4

#define TX_IOV_START 0
#define TX_IOV_COUNT 1
#define TX_LENGTH 2
#define TX_SEGMENT_SIZE 3
#define TX_TRAFFIC_CLASS 4
#define TX_SOURCE 5
#define TX_FAMILY 6
#define TX_ADDRESS 8
#define TX_STRIDE 12

#define UP_IOV_START 0
#define UP_IOV_COUNT 1
#define UP_LENGTH 2
#define UP_FLAGS 3
#define UP_GSO_TYPE 4
#define UP_GSO_SIZE 5
#define UP_CSUM_START 6
#define UP_CSUM_OFFSET 7
#define UP_HEADER_LENGTH 8
#define UP_STRIDE 12

#define SUM_START 0
#define SUM_LENGTH 1
#define SUM_START2 2
#define SUM_LENGTH2 3
#define SUM_FIELD 4
#define SUM_ZERO_AS_ONES 5
#define SUM_STRIDE 6

#define CHECK_START 0
#define CHECK_LENGTH 1
#define CHECK_PSEUDO 2
#define CHECK_GOOD 3
#define CHECK_STRIDE 8

#define GUE_SOURCE_PORTS 64

#endif
