// Package vendors holds signatures that this product makes or checks against the
// vendors' own packages: those of Svix, through which Resend signs its reports, and of
// Twilio. The packages sign what our verifiers take, and check what ours would sign.
//
// It promises that nothing of them is shipped: they are installed below this folder by
// scripts/setup.sh (node, npm and the packages of package.json), and where they are not
// there the tests are skipped and counted as skipped.
package vendors
