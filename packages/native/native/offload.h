/* Segmentation offload of a TUN device: trains the kernel hands over are cut into packets, packets are joined into
 * trains for it. No system calls in here. */
#ifndef COVE_OFFLOAD_H
#define COVE_OFFLOAD_H
#include <linux/virtio_net.h>
#include <stddef.h>
#include <stdint.h>

/* What precedes every packet of a device with IFF_VNET_HDR. */
#define COVE_VNET_LENGTH 10
#define COVE_FRAME_LENGTH (COVE_VNET_LENGTH + 65535)

/* One frame being cut. */
struct cove_split {
  const uint8_t *packet;
  size_t length;
  /* Offset of the transport header, of the payload, and of what was not handed out yet. */
  size_t transport, payload, at;
  /* Payload of each packet; 0: the frame is one packet. */
  size_t size;
  uint32_t index;
  int is_udp;
};

/* Begins to cut a frame as read from the device; it must stay until the last packet. 0: not to be understood. */
int cove_split_start(struct cove_split *split, uint8_t *frame, size_t length);
/* Writes the next packet; its length, 0 when there is none, -1 when it does not fit `room` (it is skipped). */
int cove_split_next(struct cove_split *split, uint8_t *to, size_t room);

/* One train being joined: frame + COVE_VNET_LENGTH is the first packet's header, payloads follow. */
struct cove_train {
  uint8_t *frame;
  /* Of the packet so far; 0: empty. */
  size_t length;
  size_t transport, payload, size;
  uint32_t next_seq;
  uint32_t count;
  /* Nothing may follow: the last packet was shorter or pushed. */
  int is_complete;
};

/* The parts of a TCP segment that may be joined. */
struct cove_segment {
  const uint8_t *packet;
  size_t length, transport, payload;
};

/* 0: the packet has to be written by itself, because it is no plain TCP data segment or its checksum is wrong. */
int cove_segment_parse(struct cove_segment *segment, const uint8_t *packet, size_t length);
/* It opens or ends a connection, and must not overtake the data before it. */
int cove_is_tcp_control(const uint8_t *packet, size_t length);
int cove_train_is_flow(const struct cove_train *train, const struct cove_segment *segment);
void cove_train_start(struct cove_train *train, const struct cove_segment *segment);
/* 0: it does not continue the train. */
int cove_train_append(struct cove_train *train, const struct cove_segment *segment);
/* Fills in the headers. Bytes to write, from train->frame. */
size_t cove_train_finish(struct cove_train *train);
#endif
