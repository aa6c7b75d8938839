//go:build linux

package ssrf

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// publicAddress is where everybody good is.
const publicAddress = "8.8.8.8"

// internet is the only public web server there is. What it is asked for says how it answers: /status/204, and /redirect/307/3,
// where every other answer leads to the next one of the targets of the third lot and those between are 204.
type internet struct {
	authority string // file with the certificate that it is known by

	mu      sync.Mutex
	hits    map[string]int // by path
	targets map[string][]string
}

func openInternet(t *testing.T) *internet {
	t.Helper()
	n := &internet{authority: filepath.Join(t.TempDir(), "authority.pem"), hits: map[string]int{}, targets: map[string][]string{}}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, DNSNames: []string{"*.example.com"}, IPAddresses: []net.IP{net.ParseIP(publicAddress)}}
	der, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(n.authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", net.JoinHostPort(publicAddress, "443"), &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: n, ReadHeaderTimeout: time.Minute}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() { _ = server.Close(); serving.Wait() })
	return n
}

func (n *internet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(r.URL.Path+"///", "/")
	status, _ := strconv.Atoi(parts[2])
	n.mu.Lock()
	n.hits[r.URL.Path]++
	if parts[1] == "redirect" {
		lot := parts[3]
		if left := n.targets[lot]; len(left) > 0 && n.hits[r.URL.Path]%2 == 1 {
			n.targets[lot] = left[1:]
			w.Header()["Location"] = left[:1]
		} else {
			status = http.StatusNoContent
		}
	}
	n.mu.Unlock()
	w.WriteHeader(max(status, http.StatusOK))
}

func (n *internet) hit(path string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.hits[path]
}

// lead gives a lot its targets.
func (n *internet) lead(lot string, targets ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.targets[lot] = targets
}

// left is how many targets nobody was led to yet.
func (n *internet) left() (sum int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, t := range n.targets {
		sum += len(t)
	}
	return sum
}
