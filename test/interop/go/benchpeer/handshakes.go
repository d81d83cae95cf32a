// WireGuard handshakes answered per second by wireguard-go, from memory: the initiations of many peers, made before, are
// handed to a device whose socket is this program.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tailscale/wireguard-go/conn"
	"github.com/tailscale/wireguard-go/device"
	"github.com/tailscale/wireguard-go/tun/tuntest"
)

type exercise struct {
	PrivateKey string `json:"privateKey"` // of the responder; base64, as all
	Peers      []struct {
		PublicKey  string `json:"publicKey"`
		Initiation string `json:"initiation"`
	} `json:"peers"`
}

const responseBytes = 92

// memory is a socket that receives what is put into it and counts the responses sent.
type memory struct {
	in        chan []byte
	answered  atomic.Int64
	responded chan struct{}
	closed    chan struct{}
}

type nowhere struct{}

func (nowhere) ClearSrc()           {}
func (nowhere) SrcToString() string { return "" }
func (nowhere) DstToString() string { return "10.0.0.1:1" }
func (nowhere) DstToBytes() []byte  { return []byte{10, 0, 0, 1, 0, 1} }
func (nowhere) DstIP() netip.Addr   { return netip.AddrFrom4([4]byte{10, 0, 0, 1}) }
func (nowhere) SrcIP() netip.Addr   { return netip.Addr{} }

func (m *memory) Open(uint16) ([]conn.ReceiveFunc, uint16, error) {
	receive := func(packets [][]byte, sizes []int, endpoints []conn.Endpoint) (int, error) {
		select {
		case packet := <-m.in:
			sizes[0] = copy(packets[0], packet)
			endpoints[0] = nowhere{}
			return 1, nil
		case <-m.closed:
			return 0, net.ErrClosed
		}
	}
	return []conn.ReceiveFunc{receive}, 1, nil
}

func (m *memory) Send(packets [][]byte, _ conn.Endpoint, offset int) error {
	for _, packet := range packets {
		if len(packet)-offset == responseBytes {
			m.answered.Add(1)
			m.responded <- struct{}{}
		}
	}
	return nil
}
func (m *memory) Close() error                                { return nil }
func (m *memory) SetMark(uint32) error                        { return nil }
func (m *memory) ParseEndpoint(string) (conn.Endpoint, error) { return nowhere{}, nil }
func (m *memory) BatchSize() int                              { return 1 }

func respond(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var given exercise
	if err := json.Unmarshal(text, &given); err != nil {
		return err
	}
	m := &memory{in: make(chan []byte), responded: make(chan struct{}, len(given.Peers)), closed: make(chan struct{})}
	responder := device.NewDevice(tuntest.NewChannelTUN().TUN(), m, device.NewLogger(device.LogLevelSilent, ""))
	var config strings.Builder
	fmt.Fprintf(&config, "private_key=%s\n", inHex(given.PrivateKey))
	for i, peer := range given.Peers {
		fmt.Fprintf(&config, "public_key=%s\nallowed_ip=10.%d.%d.1/32\nendpoint=10.0.0.1:1\n", inHex(peer.PublicKey), 1+i/256, i%256)
	}
	if err := responder.IpcSetOperation(bufio.NewReader(strings.NewReader(config.String()))); err != nil {
		return err
	}
	if err := responder.Up(); err != nil {
		return err
	}
	// A few at a time: with more waiting, a responder counts itself as under load and answers with cookies.
	const atOnce = 8
	start := time.Now()
	for i, peer := range given.Peers {
		initiation, err := base64.StdEncoding.DecodeString(peer.Initiation)
		if err != nil {
			return err
		}
		if i >= atOnce {
			select {
			case <-m.responded:
			case <-time.After(2 * time.Second):
				return errors.New("no response")
			}
		}
		m.in <- initiation
	}
	for range min(atOnce, len(given.Peers)) {
		select {
		case <-m.responded:
		case <-time.After(2 * time.Second):
			return errors.New("no response")
		}
	}
	took := time.Since(start)
	say(map[string]any{"handshakes": m.answered.Load(), "perSecond": float64(m.answered.Load()) / took.Seconds()})
	os.Exit(0)
	return nil
}

func inHex(text string) string {
	bytes, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return ""
	}
	return hex.EncodeToString(bytes)
}
