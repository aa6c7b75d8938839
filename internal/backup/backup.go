// Package backup is the file that everything which is stored is kept in, outside of the database.
//
// It promises that a file which was cut off, changed or lengthened is refused; that a file which could not be written as
// a whole does not get its name, whatever ends the process; and that it holds secrets only as the database does, sealed.
// What else the database has, such as addresses and texts, stands in it in clear: only its owner may read it.
//
// The form: a line that names it, then a gzip stream of frames. A frame is a letter, four bytes of length and what it holds.
// H is the head (JSON), P begins a part (its name), D is data of it (at most 64 KiB), E ends it, and T is the trailer (JSON): the rows of
// each table, and the SHA-256 of every frame before it.
package backup

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// magic is the first line of every file.
const magic = "commserver-backup 1\n"

const (
	frameData = 64 << 10
	frameMost = 1 << 20 // of a head or a trailer
)

// Head is the head of a file.
type Head struct {
	store.BackupHead
	Version string `json:"version"` // of the program that wrote it
}

// Trailer is the end of a file.
type Trailer struct {
	FinishedAt comm.Micros      `json:"finishedAt"`
	Rows       map[string]int64 `json:"rows"`
	SHA256     string           `json:"sha256"`
}

// Writer writes a file. It is a store.BackupTo.
type Writer struct {
	zip     *gzip.Writer
	sum     hash.Hash
	version string
	rows    map[string]int64
	failed  error
}

// NewWriter begins a file. version is that of the program.
func NewWriter(to io.Writer, version string) (*Writer, error) {
	if _, err := io.WriteString(to, magic); err != nil {
		return nil, err
	}
	zip, err := gzip.NewWriterLevel(to, gzip.BestSpeed)
	return &Writer{zip: zip, sum: sha256.New(), version: version, rows: map[string]int64{}}, err
}

func (w *Writer) frame(kind byte, data []byte) error {
	if w.failed != nil {
		return w.failed
	}
	head := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(data)))
	for _, b := range [2][]byte{head, data} {
		if kind != 'T' {
			w.sum.Write(b) // a hash takes everything
		}
		if _, err := w.zip.Write(b); err != nil {
			w.failed = err
			return err
		}
	}
	return nil
}

// Head implements store.BackupTo.
func (w *Writer) Head(h store.BackupHead) error {
	b, err := json.Marshal(Head{h, w.version})
	if err != nil {
		return fmt.Errorf("write the head of a backup: %w", err)
	}
	return w.frame('H', b)
}

// Part implements store.BackupTo.
func (w *Writer) Part(name string, write func(io.Writer) (map[string]int64, error)) error {
	if err := w.frame('P', []byte(name)); err != nil {
		return err
	}
	buffer := bufio.NewWriterSize(dataFrames{w}, frameData)
	rows, err := write(buffer)
	if err == nil {
		err = buffer.Flush()
	}
	if err != nil {
		return err
	}
	maps.Copy(w.rows, rows)
	return w.frame('E', nil)
}

type dataFrames struct{ w *Writer }

// Write implements io.Writer.
func (d dataFrames) Write(b []byte) (int, error) {
	for n := 0; n < len(b); {
		part := b[n:min(len(b), n+frameData)]
		if err := d.w.frame('D', part); err != nil {
			return n, err
		}
		n += len(part)
	}
	return len(b), nil
}

// Finish writes the trailer. A file without one is refused.
func (w *Writer) Finish() (Trailer, error) {
	t := Trailer{FinishedAt: comm.At(time.Now()), Rows: w.rows, SHA256: hex.EncodeToString(w.sum.Sum(nil))}
	b, err := json.Marshal(t)
	if err != nil {
		return t, fmt.Errorf("write the end of a backup: %w", err)
	}
	if err := w.frame('T', b); err != nil {
		return t, err
	}
	return t, w.zip.Close()
}

// ErrDamaged is a file that is not as it was written.
var ErrDamaged = errors.New("the backup is damaged or was cut off: use another one")

// errForeign is what is no backup at all.
var errForeign = errors.New("this is no backup of CommServer")

// Reader reads a file. It is a store.BackupFrom.
type Reader struct {
	file    *bufio.Reader // as it is stored
	from    *bufio.Reader // its frames
	sum     hash.Hash
	head    Head
	part    *partReader
	trailer *Trailer
}

// NewReader reads the head of a file.
func NewReader(from io.Reader) (*Reader, error) {
	buffered := bufio.NewReaderSize(from, frameData)
	line := make([]byte, len(magic))
	n, err := io.ReadFull(buffered, line)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) && bytes.HasPrefix([]byte(magic), line[:n]) {
		return nil, broken(err)
	}
	if err != nil || !bytes.Equal(line, []byte(magic)) {
		if bytes.HasPrefix(line, []byte("commserver-backup ")) {
			return nil, errors.New("the backup was written by a newer version: use that one to restore it")
		}
		return nil, errForeign
	}
	zip, err := gzip.NewReader(buffered)
	if err != nil {
		return nil, broken(err)
	}
	zip.Multistream(false) // what stands behind it is no part of it
	r := &Reader{file: buffered, from: bufio.NewReaderSize(zip, frameData), sum: sha256.New()}
	kind, data, err := r.frame()
	if err == nil && kind != 'H' {
		err = ErrDamaged
	}
	if err == nil {
		err = json.Unmarshal(data, &r.head)
	}
	return r, broken(err)
}

// broken is what an error of reading means: the file's own ones are all ErrDamaged.
func broken(err error) error {
	_, syntax := errors.AsType[*json.SyntaxError](err)
	_, squeezed := errors.AsType[flate.CorruptInputError](err)
	switch {
	case err == nil, errors.Is(err, ErrDamaged):
		return err
	case syntax, squeezed, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader):
		return fmt.Errorf("%w (%w)", ErrDamaged, err)
	}
	return fmt.Errorf("read the backup: %w", err)
}

// frame reads the next one. Its length is believed only as far as data comes.
func (r *Reader) frame() (kind byte, data []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r.from, head[:]); err != nil {
		return 0, nil, broken(err)
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > frameMost {
		return 0, nil, ErrDamaged
	}
	data = make([]byte, n)
	if _, err := io.ReadFull(r.from, data); err != nil {
		return 0, nil, broken(err)
	}
	if head[0] != 'T' {
		r.sum.Write(head[:]) // a hash takes everything
		r.sum.Write(data)
	}
	return head[0], data, nil
}

// Head implements store.BackupFrom.
func (r *Reader) Head() *store.BackupHead { return &r.head.BackupHead }

// Version is that of the program that wrote it.
func (r *Reader) Version() string { return r.head.Version }

// Next implements store.BackupFrom.
func (r *Reader) Next() (string, io.Reader, error) {
	if r.part != nil {
		if _, err := io.Copy(io.Discard, r.part); err != nil {
			return "", nil, err
		}
		r.part = nil
	}
	if r.trailer != nil {
		return "", nil, io.EOF
	}
	kind, data, err := r.frame()
	if err != nil {
		return "", nil, err
	}
	switch kind {
	case 'P':
		r.part = &partReader{r: r}
		return string(data), r.part, nil
	case 'T':
		t := &Trailer{}
		if err := json.Unmarshal(data, t); err != nil || t.SHA256 != hex.EncodeToString(r.sum.Sum(nil)) {
			return "", nil, ErrDamaged
		}
		if err := r.nothingBehind(); err != nil {
			return "", nil, err
		}
		r.trailer = t
		return "", nil, io.EOF
	}
	return "", nil, ErrDamaged
}

// nothingBehind reads the end of a file: the checksum of gzip stands behind the trailer, and nothing behind that.
func (r *Reader) nothingBehind() error {
	_, err := r.from.ReadByte()
	if errors.Is(err, io.EOF) {
		_, err = r.file.ReadByte()
	} else if err != nil {
		return broken(err)
	}
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return broken(err)
	}
	return fmt.Errorf("%w (something stands behind its end)", ErrDamaged)
}

// End implements store.BackupFrom.
func (r *Reader) End() (map[string]int64, error) {
	if r.trailer == nil {
		return nil, ErrDamaged
	}
	return r.trailer.Rows, nil
}

// FinishedAt is when it was whole; zero before End.
func (r *Reader) FinishedAt() comm.Micros {
	if r.trailer == nil {
		return 0
	}
	return r.trailer.FinishedAt
}

type partReader struct {
	r     *Reader
	rest  []byte
	ended bool
}

// Read implements io.Reader.
func (p *partReader) Read(b []byte) (int, error) {
	for len(p.rest) == 0 {
		if p.ended {
			return 0, io.EOF
		}
		kind, data, err := p.r.frame()
		if err != nil {
			return 0, err
		}
		switch kind {
		case 'D':
			p.rest = data
		case 'E':
			p.ended = true
		default:
			return 0, ErrDamaged
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// ReadThrough reads what is left of a file, and with it whether it is whole.
func (r *Reader) ReadThrough() error {
	for {
		_, _, err := r.Next()
		if errors.Is(err, io.EOF) && r.trailer != nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
