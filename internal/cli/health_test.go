package cli

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate is one that names what is given, and the file that holds it.
func certificate(t *testing.T, names ...string) (pair tls.Certificate, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)} // it has expired
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			of.IPAddresses = append(of.IPAddresses, ip)
		} else {
			of.DNSNames = append(of.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "tls.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

// tlsNode is a node that is ready and serves TLS.
func tlsNode(t *testing.T, with tls.Certificate) (addr string) {
	t.Helper()
	node := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, `{"status":"ready"}`)
	}))
	node.Config.ErrorLog = log.New(io.Discard, "", 0)
	node.TLS = &tls.Config{Certificates: []tls.Certificate{with}, MinVersion: tls.VersionTLS12}
	node.StartTLS()
	t.Cleanup(node.Close)
	return node.Listener.Addr().String()
}

// A certificate that no program takes is told as that, and not as a node that is not ready.
func TestHealthByACertificateWithoutAName(t *testing.T) {
	t.Parallel()
	_, file := certificate(t)
	var out bytes.Buffer
	code := Run(t.Context(), []string{"health"}, Streams{In: strings.NewReader(""), Out: &out, Err: &out, Env: []string{"COMMS_TLS_CERT=" + file}})
	if code != exitUsage || !strings.Contains(out.String(), "subjectAltName") {
		t.Errorf("exit code %d: %s", code, out.String())
	}
}

// The image asks itself for its health by the options that the server has, also where that serves TLS by the name that others call it by. What has another
// certificate is not the node, and an address that is given is verified as ever.
func TestHealthOfANodeThatServesTLS(t *testing.T) {
	t.Parallel()
	for name, names := range map[string][]string{"a name": {"comms.example.com"}, "many names": {"*.example.com"}, "an address": {"192.0.2.7"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pair, file := certificate(t, names...)
			_, others := certificate(t, names...)
			addr := tlsNode(t, pair)
			_, port, err := net.SplitHostPort(addr)
			if err != nil {
				t.Fatal(err)
			}
			named := filepath.Join(t.TempDir(), "named")
			if err := os.WriteFile(named, []byte(file+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			for how, c := range map[string]struct {
				env  []string
				args []string
				code int
				says string
			}{
				"by its options":         {[]string{"COMMS_ADDR=" + addr, "COMMS_TLS_CERT=" + file}, nil, 0, "ready"},
				"on every address":       {[]string{"COMMS_ADDR=:" + port, "COMMS_TLS_CERT=" + file}, nil, 0, "ready"},
				"by an option in a file": {[]string{"COMMS_ADDR=" + addr, "COMMS_TLS_CERT_FILE=" + named}, nil, 0, "ready"},
				"without TLS":            {[]string{"COMMS_ADDR=" + addr}, nil, exitUnavailable, "not ready (400)"},
				"another certificate":    {[]string{"COMMS_ADDR=" + addr, "COMMS_TLS_CERT=" + others}, nil, exitUnavailable, "certificate"},
				"no certificate":         {[]string{"COMMS_ADDR=" + addr, "COMMS_TLS_CERT=" + named}, nil, exitUsage, "holds no certificate"},
				"no file":                {[]string{"COMMS_ADDR=" + addr, "COMMS_TLS_CERT=" + file + "x"}, nil, exitUsage, "COMMS_TLS_CERT"},
				"an address given":       {[]string{"COMMS_TLS_CERT=" + file}, []string{"--url", "https://" + addr}, exitUnavailable, "certificate"},
			} {
				var out bytes.Buffer
				code := Run(t.Context(), append([]string{"health"}, c.args...), Streams{In: strings.NewReader(""), Out: &out, Err: &out, Env: c.env})
				if code != c.code || !strings.Contains(out.String(), c.says) {
					t.Errorf("%s: exit code %d: %s", how, code, out.String())
				}
			}
		})
	}
}
