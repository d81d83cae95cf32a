// Command benchpeer is the Go side of test/bench: a tsnet node (or, with -kernel, plain sockets) that serves what is
// measured and makes the load itself. The node is up before it reads anything; then one JSON request per line on
// standard input, one answer per line on standard output, as test/bench/wire.ts has them.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"tailscale.com/tailcfg"
	"tailscale.com/tsnet"
)

// request is the union of all requests.
type request struct {
	ID          int     `json:"id"`
	Op          string  `json:"op"`
	Address     string  `json:"address"`
	Connections int     `json:"connections"`
	Seconds     float64 `json:"seconds"`
	Rate        float64 `json:"rate"`
	Size        int     `json:"size"`
	Count       int     `json:"count"`
	GC          bool    `json:"gc"`
}

type answer struct {
	ID     int    `json:"id"`
	Result any    `json:"result,omitempty"`
	Error  string `json:"error,omitempty"`
}

var began = time.Now()

// network is what the node offers, or the kernel.
type network interface {
	listen(port int) (net.Listener, error)
	listenPacket(port int) (net.PacketConn, error)
	dial(ctx context.Context, network, address string, port int) (net.Conn, error)
}

type kernel struct{ address string }

func (k kernel) listen(port int) (net.Listener, error) {
	return net.Listen("tcp", hostPort(k.address, port))
}
func (k kernel) listenPacket(port int) (net.PacketConn, error) {
	return net.ListenPacket("udp", hostPort(k.address, port))
}
func (k kernel) dial(ctx context.Context, network, address string, port int) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, network, hostPort(address, port))
}

type node struct {
	server  *tsnet.Server
	address netip.Addr
}

func (n *node) listen(port int) (net.Listener, error) {
	return n.server.Listen("tcp", fmt.Sprintf(":%d", port))
}
func (n *node) listenPacket(port int) (net.PacketConn, error) {
	return n.server.ListenPacket("udp", hostPort(n.address.String(), port))
}
func (n *node) dial(ctx context.Context, network, address string, port int) (net.Conn, error) {
	return n.server.Dial(ctx, network, hostPort(address, port))
}

func hostPort(host string, port int) string { return net.JoinHostPort(host, fmt.Sprint(port)) }

func up(ctx context.Context, hostname, dir, controlURL string) (*node, error) {
	server := &tsnet.Server{Hostname: hostname, Dir: dir, ControlURL: controlURL, Ephemeral: true}
	server.Logf = func(string, ...any) {}
	if os.Getenv("BENCH_VERBOSE") != "" {
		server.Logf = log.Printf
	}
	server.UserLogf = server.Logf
	status, err := server.Up(ctx) // the auth key comes in TS_AUTHKEY
	if err != nil {
		return nil, err
	}
	return &node{server, status.TailscaleIPs[0]}, nil
}

type peer struct {
	network network
	node    *node // nil: kernel
	flags   struct{ hostname, dir, control string }
	further []*node
	*services
	load loads
}

func main() {
	p := &peer{services: &services{}}
	flag.StringVar(&p.flags.hostname, "hostname", "bench", "name asked for")
	flag.StringVar(&p.flags.dir, "dir", "", "state directory")
	flag.StringVar(&p.flags.control, "control-url", "", "coordination server")
	kernelAddress := flag.String("kernel", "", "use the kernel's sockets, at this address")
	initiations := flag.String("handshakes", "", "measure wireguard-go as a responder with this file, and end")
	flag.Parse()
	if *initiations != "" {
		if err := respond(*initiations); err != nil {
			log.Fatal(err)
		}
		return
	}
	ready := map[string]any{"event": "ready", "versions": map[string]string{"go": runtime.Version()}}
	if *kernelAddress != "" {
		p.network = kernel{*kernelAddress}
		ready["address"] = *kernelAddress
	} else {
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		start := time.Now()
		n, err := up(ctx, p.flags.hostname, p.flags.dir, p.flags.control)
		cancel()
		if err != nil {
			log.Fatalf("up: %v", err)
		}
		p.network, p.node = n, n
		ready["address"] = n.address.String()
		ready["upMs"] = milliseconds(time.Since(start))
	}
	say(ready)
	var lines sync.Mutex
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var r request
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			log.Fatal(err)
		}
		go func() {
			result, err := p.handle(r)
			a := answer{ID: r.ID, Result: result}
			if err != nil {
				a.Error = err.Error()
			}
			lines.Lock()
			defer lines.Unlock()
			say(a)
		}()
	}
}

func (p *peer) handle(r request) (any, error) {
	switch r.Op {
	case "serve":
		return nil, p.serve(p.network)
	case "path":
		return p.path(r.Address, r.Seconds)
	case "sample":
		if r.GC {
			runtime.GC()
			debug.FreeOSMemory()
		}
		return p.sample(), nil
	case "stream":
		return nil, p.load.stream(p.network, r.Address, r.Connections)
	case "stop":
		p.load.stop()
		return nil, nil
	case "echo":
		return echo(p.network, r)
	case "http":
		return getHTTP(p.network, r)
	case "connect":
		return connect(p.network, r)
	case "flood":
		return nil, flood(p.network, r)
	case "idle":
		return nil, p.load.idle(p.network, r)
	case "nodes":
		return nil, p.addNodes(r.Count)
	case "close":
		for _, n := range append(p.further, p.node) {
			if n != nil {
				n.server.Close()
			}
		}
		time.AfterFunc(50*time.Millisecond, func() { os.Exit(0) })
		return nil, nil
	}
	return nil, fmt.Errorf("unknown request %q", r.Op)
}

// path waits up to the time for a direct path and says which is in use; "" is a relay.
func (p *peer) path(address string, seconds float64) (any, error) {
	if p.node == nil {
		return "kernel", nil
	}
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return nil, err
	}
	local, err := p.node.server.LocalClient()
	if err != nil {
		return nil, err
	}
	for until := time.Now().Add(duration(seconds)); ; time.Sleep(20 * time.Millisecond) {
		// What crosses the tunnel makes the node look for a direct path.
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		local.Ping(ctx, ip, tailcfg.PingTSMP)
		status, err := local.Status(ctx)
		cancel()
		if err != nil {
			return "", err
		}
		for _, other := range status.Peer {
			if slices.Contains(other.TailscaleIPs, ip) && other.CurAddr != "" {
				return other.CurAddr, nil
			}
		}
		if time.Now().After(until) {
			return "", nil
		}
	}
}

// addNodes starts further nodes in this process.
func (p *peer) addNodes(count int) error {
	made := make([]*node, count)
	errs := make([]error, count)
	var wait sync.WaitGroup
	for i := range count {
		wait.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
			defer cancel()
			name := fmt.Sprintf("%s-%d", p.flags.hostname, i)
			made[i], errs[i] = up(ctx, name, filepath.Join(p.flags.dir, name), p.flags.control)
		})
	}
	wait.Wait()
	p.further = append(p.further, made...)
	return errors.Join(errs...)
}

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func say(value any) {
	line, err := json.Marshal(value)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", line)
}
