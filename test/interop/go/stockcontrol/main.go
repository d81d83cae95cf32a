// Command stockcontrol is the stock test coordination server with a relay map of our choice: the program of its module
// always brings a relay of its own.
package main

import (
	"encoding/json"
	"flag"
	"log"
	"net"
	"net/http"
	"os"

	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to serve at")
	mapFile := flag.String("derp-map", "", "relay map as JSON")
	flag.Parse()
	text, err := os.ReadFile(*mapFile)
	if err != nil {
		log.Fatal(err)
	}
	derpMap := new(tailcfg.DERPMap)
	if err := json.Unmarshal(text, derpMap); err != nil {
		log.Fatalf("%s: %v", *mapFile, err)
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	control := &testcontrol.Server{
		DERPMap:         derpMap,
		MagicDNSDomain:  "stock.internal",
		DNSConfig:       &tailcfg.DNSConfig{Proxied: true},
		ExplicitBaseURL: "http://" + listener.Addr().String(),
	}
	log.Printf("listening on %s", listener.Addr())
	log.Fatal(http.Serve(listener, control))
}
