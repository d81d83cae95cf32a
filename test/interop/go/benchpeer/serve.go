// What a peer serves: a sink that counts, an echo, a holder of idle connections, a small page, a UDP sink.
package main

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// The same as in test/bench/wire.ts.
const (
	httpPort = 80
	sinkPort = 7001
	echoPort = 7002
	holdPort = 7003
	udpPort  = 7004
)

var page = []byte(strings.Repeat("x", pageBytes))

const pageBytes = 128

type services struct {
	received  atomic.Int64
	datagrams atomic.Int64
}

type sample struct {
	AtMs      float64 `json:"atMs"`
	Received  int64   `json:"received"`
	Datagrams int64   `json:"datagrams"`
}

func (s *services) sample() sample {
	return sample{milliseconds(time.Since(began)), s.received.Load(), s.datagrams.Load()}
}

func (s *services) serve(network network) error {
	for port, serve := range map[int]func(net.Conn){sinkPort: s.sink, echoPort: echoBack, holdPort: hold} {
		listener, err := network.listen(port)
		if err != nil {
			return err
		}
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				go serve(conn)
			}
		}()
	}
	listener, err := network.listen(httpPort)
	if err != nil {
		return err
	}
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Write(page)
	}))
	packets, err := network.listenPacket(udpPort)
	if err != nil {
		return err
	}
	go func() {
		buffer := make([]byte, 2048)
		for {
			if _, _, err := packets.ReadFrom(buffer); err != nil {
				return
			}
			s.datagrams.Add(1)
		}
	}()
	return nil
}

func (s *services) sink(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buffer)
		s.received.Add(int64(n))
		if err != nil {
			return
		}
	}
}

func echoBack(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		if _, err := conn.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func hold(conn net.Conn) {
	defer conn.Close()
	io.Copy(io.Discard, conn)
}
