package webauthn

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"math/big"
)

// The algorithms, as COSE numbers them (RFC 9053, RFC 8812).
const (
	es256 = -7
	eddsa = -8
	rs256 = -257
)

// algorithms are what keys may sign with, the best liked first.
var algorithms = [...]int64{es256, eddsa, rs256}

// ErrAlgorithm is that of a key which signs by none of the algorithms, or with fewer bits than are safe.
var ErrAlgorithm = errors.New("it signs in a way that is not taken")

// The members of a COSE key (RFC 9052, section 7, and RFC 9053).
const (
	keyKind  = 1
	keyAlg   = 3
	keyCurve = -1 // of an RSA key: its modulus
	keyX     = -2 // of an RSA key: its exponent
	keyY     = -3
)

// publicKey is one of the three kinds.
type publicKey struct{ key crypto.PublicKey }

// readKey reads a COSE key.
func readKey(b []byte) (k publicKey, err error) {
	r := reader{b}
	n, err := r.fields()
	if err != nil {
		return k, err
	}
	numbers, octets := map[int64]int64{}, map[int64][]byte{}
	for range n {
		name, err := r.number()
		if err != nil {
			return k, err
		}
		_, isNumber := numbers[name]
		_, isOctets := octets[name]
		if isNumber || isOctets || len(r.b) == 0 {
			return k, ErrMalformed
		}
		switch r.b[0] >> 5 {
		case unsigned, negative:
			numbers[name], err = r.number()
		case byteString:
			octets[name], err = r.octets(byteString)
		default:
			err = r.skip(deepest)
		}
		if err != nil {
			return k, err
		}
	}
	if len(r.b) > 0 {
		return k, ErrMalformed
	}
	return makeKey(numbers, octets)
}

func makeKey(numbers map[int64]int64, octets map[int64][]byte) (k publicKey, err error) {
	const okp, ec2, isRSA = 1, 2, 3
	const p256, onEd25519 = 1, 6
	switch kind, alg := numbers[keyKind], numbers[keyAlg]; {
	case kind == ec2 && alg == es256 && numbers[keyCurve] == p256:
		if len(octets[keyX]) != 32 || len(octets[keyY]) != 32 {
			return k, ErrMalformed
		}
		k.key, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, octets[keyX]...), octets[keyY]...))
		if err != nil {
			return k, ErrMalformed
		}
	case kind == okp && alg == eddsa && numbers[keyCurve] == onEd25519:
		if len(octets[keyX]) != ed25519.PublicKeySize {
			return k, ErrMalformed
		}
		k.key = ed25519.PublicKey(octets[keyX])
	case kind == isRSA && alg == rs256:
		return rsaKey(octets[keyCurve], octets[keyX])
	default:
		return k, ErrAlgorithm
	}
	return k, nil
}

func rsaKey(modulus, exponent []byte) (k publicKey, err error) {
	const least, most = 2048, 8192
	n := new(big.Int).SetBytes(modulus)
	if bits := n.BitLen(); bits < least || bits > most || n.Bit(0) == 0 || len(exponent) == 0 || len(exponent) > 4 {
		return k, ErrAlgorithm
	}
	e := new(big.Int).SetBytes(exponent)
	if e.Cmp(big.NewInt(3)) < 0 || e.BitLen() > 31 || e.Bit(0) == 0 {
		return k, ErrAlgorithm
	}
	k.key = &rsa.PublicKey{N: n, E: int(e.Int64())}
	return k, nil
}

// signed says whether the key has signed what was said.
func (k publicKey) signed(said, signature []byte) bool {
	sum := sha256.Sum256(said)
	switch key := k.key.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(key, sum[:], signature)
	case ed25519.PublicKey:
		return ed25519.Verify(key, said, signature)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil
	}
	return false
}
