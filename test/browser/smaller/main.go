// Command smaller writes PNG pictures again with 256 colours at most, each in its place, which makes pictures of pages a
// third as large:
//
//	go run ./test/browser/smaller docs/images/*.png
package main

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"slices"
)

func main() {
	for _, name := range os.Args[1:] {
		if err := shrink(name); err != nil {
			fmt.Fprintln(os.Stderr, "smaller:", err)
			os.Exit(1)
		}
	}
}

func shrink(name string) error {
	was, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read the picture: %w", err)
	}
	in, err := png.Decode(bytes.NewReader(was))
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, few(in)); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if out.Len() >= len(was) {
		return nil
	}
	if err := os.WriteFile(name, out.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write the picture: %w", err)
	}
	fmt.Printf("%s: %d kB, was %d\n", name, out.Len()/1000, len(was)/1000)
	return nil
}

// few is a picture in those of its colours that are used most, with every other one in the nearest of them.
func few(in image.Image) *image.Paletted {
	b := in.Bounds()
	used := map[color.RGBA]int{}
	at := func(x, y int) color.RGBA { return color.RGBAModel.Convert(in.At(x, y)).(color.RGBA) }
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			used[at(x, y)]++
		}
	}
	most := slices.SortedFunc(maps.Keys(used), func(x, y color.RGBA) int {
		return cmp.Or(cmp.Compare(used[y], used[x]), cmp.Compare(x.R, y.R), cmp.Compare(x.G, y.G), cmp.Compare(x.B, y.B))
	})
	var palette color.Palette
	for _, c := range most[:min(256, len(most))] {
		palette = append(palette, c)
	}
	place := map[color.RGBA]uint8{}
	for _, c := range most {
		place[c] = uint8(palette.Index(c))
	}
	out := image.NewPaletted(b, palette)
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			out.SetColorIndex(x, y, place[at(x, y)])
		}
	}
	return out
}
