// Command tsnetapp is an app as Go programmers write it with stock tsnet: a page of its own on the tailnet, and pages of
// other nodes fetched. It prints one JSON object a line; {"event":"ready"} comes once it serves.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	"tailscale.com/tsnet"
)

func main() {
	server := new(tsnet.Server)
	flag.StringVar(&server.Hostname, "hostname", "goapp", "name asked for")
	flag.StringVar(&server.Dir, "dir", "", "state directory")
	flag.StringVar(&server.ControlURL, "control-url", "", "coordination server")
	flag.BoolVar(&server.Ephemeral, "ephemeral", false, "leave the tailnet at the end")
	fetch := flag.String("fetch", "", "URL on the tailnet to fetch once ready")
	flag.Parse() // the auth key comes in TS_AUTHKEY
	server.Logf = log.New(os.Stderr, "", log.LstdFlags).Printf
	server.UserLogf = server.Logf

	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	status, err := server.Up(ctx)
	if err != nil {
		log.Fatalf("up: %v", err)
	}
	listener, err := server.Listen("tcp", ":80")
	if err != nil {
		log.Fatalf("listen: %v", err)
	}
	local, err := server.LocalClient()
	if err != nil {
		log.Fatalf("local client: %v", err)
	}
	served := make(chan error)
	go func() {
		served <- http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			who, err := local.WhoIs(r.Context(), r.RemoteAddr)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "a Go program greets %s at %s (%d bytes received)\n",
				who.UserProfile.LoginName, who.Node.ComputedName, len(body))
		}))
	}()
	say("ready", map[string]any{"ips": status.TailscaleIPs, "name": status.Self.DNSName})
	if *fetch != "" {
		get(ctx, server.HTTPClient(), *fetch)
	}
	log.Fatalf("serve: %v", <-served)
}

// get fetches until it succeeds or the time is over: a node that has just come does not know every path yet.
func get(ctx context.Context, client *http.Client, url string) {
	for ctx.Err() == nil {
		attempt, cancel := context.WithTimeout(ctx, 15*time.Second)
		request, err := http.NewRequestWithContext(attempt, http.MethodGet, url, nil)
		if err != nil {
			log.Fatal(err)
		}
		response, err := client.Do(request)
		if err == nil {
			body, _ := io.ReadAll(response.Body)
			response.Body.Close()
			cancel()
			say("fetched", map[string]any{"status": response.StatusCode, "body": string(body)})
			return
		}
		cancel()
		log.Printf("fetch: %v", err)
		time.Sleep(500 * time.Millisecond)
	}
}

func say(event string, fields map[string]any) {
	fields["event"] = event
	line, err := json.Marshal(fields)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", line)
}
