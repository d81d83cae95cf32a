// The load: streams, echoes, HTTP requests, connections. Each mirrors test/bench/load.ts.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Timers of Node have 1 ms; what is begun later than this after it was due counts from when it was due.
const slack = 1500 * time.Microsecond

type latencies struct {
	P50   float64 `json:"p50"` // microseconds
	P99   float64 `json:"p99"`
	Count int     `json:"count"`
	PerS  float64 `json:"perSecond"`
}

func summary(values []time.Duration, took time.Duration) latencies {
	slices.Sort(values)
	at := func(share float64) float64 {
		if len(values) == 0 {
			return 0
		}
		i := min(len(values)-1, int(math.Floor(share*float64(len(values)))))
		return float64(values[i]) / float64(time.Microsecond)
	}
	return latencies{at(0.5), at(0.99), len(values), float64(len(values)) / took.Seconds()}
}

func dial(network network, address string, port int) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	return network.dial(ctx, "tcp", address, port)
}

// dialAll opens connections, some at a time.
func dialAll(network network, address string, port, count, parallel int) ([]net.Conn, error) {
	conns := make([]net.Conn, count)
	errs := make([]error, parallel)
	var wait sync.WaitGroup
	var next atomic.Int64
	for w := range parallel {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < count; i = int(next.Add(1)) - 1 {
				if conns[i], errs[w] = dial(network, address, port); errs[w] != nil {
					return
				}
			}
		})
	}
	wait.Wait()
	return conns, errors.Join(errs...)
}

type loads struct {
	mu   sync.Mutex
	open []net.Conn
}

func (l *loads) keep(conns []net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = append(l.open, conns...)
}

// stream writes on so many connections until stop.
func (l *loads) stream(network network, address string, connections int) error {
	conns, err := dialAll(network, address, sinkPort, connections, connections)
	if err != nil {
		return err
	}
	l.keep(conns)
	for _, conn := range conns {
		go func() {
			chunk := make([]byte, 64<<10)
			for {
				if _, err := conn.Write(chunk); err != nil {
					return
				}
			}
		}()
	}
	return nil
}

func (l *loads) idle(network network, r request) error {
	conns, err := dialAll(network, r.Address, holdPort, r.Count, 32)
	l.keep(conns)
	return err
}

func (l *loads) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range l.open {
		if conn != nil {
			conn.Close()
		}
	}
	l.open = nil
}

// echo sends one message after the other, each when it is due (rate 0: at once) and the last is back.
func echo(network network, r request) (any, error) {
	conn, err := dial(network, r.Address, echoPort)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	message := make([]byte, r.Size)
	var interval time.Duration
	if r.Rate > 0 {
		interval = duration(1 / r.Rate)
	}
	var took []time.Duration
	start := time.Now()
	for due := start; time.Since(start) < duration(r.Seconds); due = due.Add(interval) {
		if interval > 0 {
			time.Sleep(time.Until(due))
			if late := time.Since(due); late > interval {
				due = due.Add(late.Truncate(interval))
			}
		}
		sent := time.Now()
		if _, err := conn.Write(message); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(conn, message); err != nil {
			return nil, err
		}
		took = append(took, time.Since(sent))
	}
	return summary(took, time.Since(start)), nil
}

type httpConn struct {
	net.Conn
	buffer []byte
}

func (c *httpConn) get(query []byte) error {
	if _, err := c.Write(query); err != nil {
		return err
	}
	have := 0
	for {
		n, err := c.Read(c.buffer[have:])
		have += n
		if end := bytes.Index(c.buffer[:have], []byte("\r\n\r\n")); end >= 0 && have >= end+4+pageBytes {
			if !bytes.HasPrefix(c.buffer, []byte("HTTP/1.1 200 ")) {
				return fmt.Errorf("answer: %q", c.buffer[:end])
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// getHTTP asks for the page on kept connections: as fast as it goes, or (rate) at fixed times whatever comes back.
func getHTTP(network network, r request) (any, error) {
	conns, err := dialAll(network, r.Address, httpPort, r.Connections, r.Connections)
	if err != nil {
		return nil, err
	}
	query := []byte("GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
	free := make(chan time.Time, 1<<20)
	took := make([][]time.Duration, len(conns))
	errs := make([]error, len(conns))
	start := time.Now()
	end := start.Add(duration(r.Seconds))
	var wait sync.WaitGroup
	for i, conn := range conns {
		wait.Go(func() {
			defer conn.Close()
			c := &httpConn{conn, make([]byte, 16<<10)}
			if r.Rate > 0 {
				for from := range free {
					if errs[i] = c.get(query); errs[i] != nil {
						return
					}
					took[i] = append(took[i], time.Since(from))
				}
				return
			}
			for from := start; from.Before(end); {
				if errs[i] = c.get(query); errs[i] != nil {
					return
				}
				now := time.Now()
				took[i] = append(took[i], now.Sub(from))
				from = now
			}
		})
	}
	if r.Rate > 0 {
		interval := duration(1 / r.Rate)
		for due := start; due.Before(end); due = due.Add(interval) {
			time.Sleep(time.Until(due))
			if now := time.Now(); now.Sub(due) <= slack {
				free <- now
			} else {
				free <- due
			}
		}
	}
	close(free)
	wait.Wait()
	return summary(slices.Concat(took...), time.Since(start)), errors.Join(errs...)
}

// connect opens and closes connections, each client one after the other.
func connect(network network, r request) (any, error) {
	took := make([][]time.Duration, r.Connections)
	errs := make([]error, r.Connections)
	start := time.Now()
	end := start.Add(duration(r.Seconds))
	var wait sync.WaitGroup
	for i := range r.Connections {
		wait.Go(func() {
			for from := time.Now(); from.Before(end); from = time.Now() {
				conn, err := dial(network, r.Address, holdPort)
				if err != nil {
					errs[i] = err
					return
				}
				took[i] = append(took[i], time.Since(from))
				conn.Close()
			}
		})
	}
	wait.Wait()
	return summary(slices.Concat(took...), time.Since(start)), errors.Join(errs...)
}

// flood sends datagrams as fast as it goes.
func flood(network network, r request) error {
	conn, err := network.dial(context.Background(), "udp", r.Address, udpPort)
	if err != nil {
		return err
	}
	defer conn.Close()
	message := make([]byte, r.Size)
	for end := time.Now().Add(duration(r.Seconds)); time.Now().Before(end); {
		for range 32 {
			conn.Write(message) // a full queue is not an error worth telling
		}
	}
	return nil
}
