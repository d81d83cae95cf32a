/* Segmentation offload of a TUN device: virtio_net_hdr (virtio 1.1, 5.1.6), IPv4 (RFC 791), IPv6 (RFC 8200),
 * TCP (RFC 9293), UDP (RFC 768), checksums (RFC 1071). */
#include "offload.h"

#include <string.h>

#define IP_TCP 6
#define IP_UDP 17
#define TCP_FIN 0x01
#define TCP_PSH 0x08
#define TCP_ACK 0x10
#define TCP_CWR 0x80
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static uint32_t get32(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static void put16(uint8_t *p, size_t value) {
  p[0] = (uint8_t)(value >> 8);
  p[1] = (uint8_t)value;
}
static void put32(uint8_t *p, uint32_t value) {
  put16(p, value >> 16);
  put16(p + 2, value & 0xffff);
}

/* Sum of 16-bit words in memory order, as wide as it comes. */
static uint64_t sum(const uint8_t *p, size_t n, uint64_t acc) {
  uint32_t a, b, c, d;
  for (; n >= 16; p += 16, n -= 16) {
    memcpy(&a, p, 4);
    memcpy(&b, p + 4, 4);
    memcpy(&c, p + 8, 4);
    memcpy(&d, p + 12, 4);
    acc += (uint64_t)a + b + c + d;
  }
  for (; n >= 2; p += 2, n -= 2) {
    uint16_t w;
    memcpy(&w, p, 2);
    acc += w;
  }
  if (n != 0) {
    uint8_t last[2] = {*p, 0};
    uint16_t w;
    memcpy(&w, last, 2);
    acc += w;
  }
  return acc;
}

static uint16_t fold(uint64_t acc) {
  while (acc >> 16 != 0) acc = (acc & 0xffff) + (acc >> 16);
  return (uint16_t)acc;
}

/* In memory order, ready to be copied into a header. */
static void put_sum(uint8_t *p, uint16_t value) { memcpy(p, &value, 2); }

static uint64_t pseudo_sum(const uint8_t *packet, int protocol, size_t length) {
  uint8_t tail[4] = {0, (uint8_t)protocol, (uint8_t)(length >> 8), (uint8_t)length};
  uint64_t acc = packet[0] >> 4 == 4 ? sum(packet + 12, 8, 0) : sum(packet + 8, 32, 0);
  return sum(tail, 4, acc);
}

static void put_ip_length(uint8_t *packet, size_t length, size_t header) {
  if (packet[0] >> 4 == 4) {
    put16(packet + 2, length);
    put16(packet + 10, 0);
    put_sum(packet + 10, (uint16_t)~fold(sum(packet, header, 0)));
  } else {
    put16(packet + 4, length - 40);
  }
}

int cove_split_start(struct cove_split *s, uint8_t *frame, size_t length) {
  struct virtio_net_hdr h;
  uint8_t *packet = frame + COVE_VNET_LENGTH;
  if (length < COVE_VNET_LENGTH + 20) return 0;
  memcpy(&h, frame, COVE_VNET_LENGTH);
  length -= COVE_VNET_LENGTH;
  if (packet[0] >> 4 == 6 ? length < 40 : packet[0] >> 4 != 4) return 0;
  s->packet = packet;
  s->length = length;
  s->at = 0;
  s->index = 0;
  s->size = 0;
  s->is_udp = 0;
  int type = h.gso_type & ~VIRTIO_NET_HDR_GSO_ECN;
  size_t start = h.csum_start;
  if (type == VIRTIO_NET_HDR_GSO_NONE) {
    size_t field = start + h.csum_offset;
    if (!(h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)) return 1;
    if (start >= length || field + 2 > length) return 0;
    /* The field holds the pseudo header's sum already. */
    uint16_t check = (uint16_t)~fold(sum(packet + start, length - start, 0));
    put_sum(packet + field, check == 0 && h.csum_offset == 6 ? 0xffff : check);
    return 1;
  }
  s->is_udp = type == VIRTIO_NET_HDR_GSO_UDP_L4;
  if (!s->is_udp && type != VIRTIO_NET_HDR_GSO_TCPV4 && type != VIRTIO_NET_HDR_GSO_TCPV6) return 0;
  if (start < (packet[0] >> 4 == 4 ? 20u : 40u) || start + (s->is_udp ? 8 : 20) > length) return 0;
  if (packet[0] >> 4 == 4 && start != (size_t)(packet[0] & 15) * 4) return 0;
  s->transport = start;
  s->payload = start + (s->is_udp ? 8 : (size_t)(packet[start + 12] >> 4) * 4);
  if (s->payload < start + (s->is_udp ? 8 : 20) || s->payload >= length || h.gso_size == 0) return 0;
  s->size = h.gso_size;
  s->at = s->payload;
  return 1;
}

int cove_split_next(struct cove_split *s, uint8_t *to, size_t room) {
  if (s->at >= s->length) return 0;
  if (s->size == 0) {
    s->at = s->length;
    if (s->length > room) return -1;
    memcpy(to, s->packet, s->length);
    return (int)s->length;
  }
  size_t rest = s->length - s->at;
  size_t data = rest < s->size ? rest : s->size;
  size_t length = s->payload + data;
  uint32_t done = (uint32_t)(s->at - s->payload);
  uint32_t index = s->index++;
  const uint8_t *payload = s->packet + s->at;
  s->at += data;
  if (length > room) return -1;
  memcpy(to, s->packet, s->payload);
  memcpy(to + s->payload, payload, data);
  if (to[0] >> 4 == 4) put16(to + 4, (uint16_t)(get16(to + 4) + index));
  put_ip_length(to, length, s->transport);
  uint8_t *transport = to + s->transport;
  size_t inner = length - s->transport;
  if (s->is_udp) {
    put16(transport + 4, inner);
    put16(transport + 6, 0);
    uint16_t check =
        (uint16_t)~fold(sum(transport, inner, pseudo_sum(to, IP_UDP, inner)));
    put_sum(transport + 6, check == 0 ? 0xffff : check);
    return (int)length;
  }
  put32(transport + 4, get32(transport + 4) + done);
  if (index > 0) transport[13] &= (uint8_t)~TCP_CWR;
  if (s->at < s->length) transport[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
  put16(transport + 16, 0);
  put_sum(transport + 16, (uint16_t)~fold(sum(transport, inner, pseudo_sum(to, IP_TCP, inner))));
  return (int)length;
}

int cove_segment_parse(struct cove_segment *s, const uint8_t *packet, size_t length) {
  size_t transport;
  /* An IPv6 packet may be longer than a frame holds. */
  if (length < 40 || length > COVE_FRAME_LENGTH - COVE_VNET_LENGTH) return 0;
  if (packet[0] == 0x45) {
    /* Neither fragments nor padding behind. */
    if (packet[9] != IP_TCP || (get16(packet + 6) & 0x3fff) != 0 || get16(packet + 2) != length)
      return 0;
    transport = 20;
  } else {
    if (packet[0] >> 4 != 6 || length < 60 || packet[6] != IP_TCP) return 0;
    if ((size_t)get16(packet + 4) + 40 != length) return 0;
    transport = 40;
  }
  const uint8_t *tcp = packet + transport;
  size_t header = (size_t)(tcp[12] >> 4) * 4;
  if ((tcp[13] & ~TCP_PSH) != TCP_ACK || (tcp[12] & 15) != 0) return 0;
  if (header < 20 || transport + header >= length) return 0;
  size_t inner = length - transport;
  if (fold(sum(tcp, inner, pseudo_sum(packet, IP_TCP, inner))) != 0xffff) return 0;
  if (transport == 20 && fold(sum(packet, 20, 0)) != 0xffff) return 0;
  s->packet = packet;
  s->length = length;
  s->transport = transport;
  s->payload = transport + header;
  return 1;
}

int cove_is_tcp_control(const uint8_t *packet, size_t length) {
  if (length < 40) return 0;
  size_t transport = packet[0] >> 4 == 4 ? (size_t)(packet[0] & 15) * 4 : 40;
  if (packet[packet[0] >> 4 == 4 ? 9 : 6] != IP_TCP) return 0;
  return transport + 14 <= length && (packet[transport + 13] & ~(TCP_ACK | TCP_PSH)) != 0;
}

int cove_train_is_flow(const struct cove_train *t, const struct cove_segment *s) {
  const uint8_t *a = t->frame + COVE_VNET_LENGTH, *b = s->packet;
  if (t->length == 0 || t->transport != s->transport) return 0;
  if (s->transport == 20 ? memcmp(a + 12, b + 12, 8) : memcmp(a + 8, b + 8, 32)) return 0;
  return memcmp(a + t->transport, b + s->transport, 4) == 0;
}

void cove_train_start(struct cove_train *t, const struct cove_segment *s) {
  memcpy(t->frame + COVE_VNET_LENGTH, s->packet, s->length);
  t->length = s->length;
  t->transport = s->transport;
  t->payload = s->payload;
  t->size = s->length - s->payload;
  t->next_seq = get32(s->packet + s->transport + 4) + (uint32_t)t->size;
  t->count = 1;
  t->is_complete = (s->packet[s->transport + 13] & TCP_PSH) != 0;
}

int cove_train_append(struct cove_train *t, const struct cove_segment *s) {
  uint8_t *a = t->frame + COVE_VNET_LENGTH;
  const uint8_t *b = s->packet;
  size_t data = s->length - s->payload, i = t->transport;
  if (t->is_complete || t->payload != s->payload || data > t->size) return 0;
  if (t->length + data > 65535 || get32(b + i + 4) != t->next_seq) return 0;
  /* Same class, hop limit and "don't fragment"; same acknowledgement, window and options. */
  if (i == 20 ? a[1] != b[1] || a[6] != b[6] || a[8] != b[8] : memcmp(a, b, 4) || a[7] != b[7])
    return 0;
  if (memcmp(a + i + 8, b + i + 8, 4) || memcmp(a + i + 14, b + i + 14, 2)) return 0;
  if (memcmp(a + i + 20, b + i + 20, t->payload - i - 20)) return 0;
  memcpy(a + t->length, b + s->payload, data);
  t->length += data;
  t->next_seq += (uint32_t)data;
  t->count++;
  if (b[i + 13] & TCP_PSH) {
    a[i + 13] |= TCP_PSH;
    t->is_complete = 1;
  }
  if (data < t->size) t->is_complete = 1;
  return 1;
}

size_t cove_train_finish(struct cove_train *t) {
  struct virtio_net_hdr h;
  uint8_t *packet = t->frame + COVE_VNET_LENGTH;
  memset(&h, 0, sizeof h);
  if (t->count > 1) {
    h.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    h.gso_type = t->transport == 20 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
    h.hdr_len = (uint16_t)t->payload;
    h.gso_size = (uint16_t)t->size;
    h.csum_start = (uint16_t)t->transport;
    h.csum_offset = 16;
    put_ip_length(packet, t->length, t->transport);
    put_sum(packet + t->transport + 16,
            fold(pseudo_sum(packet, IP_TCP, t->length - t->transport)));
  }
  memcpy(t->frame, &h, COVE_VNET_LENGTH);
  return COVE_VNET_LENGTH + t->length;
}
