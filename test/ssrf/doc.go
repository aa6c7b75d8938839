// Package ssrf proves that what tenants write as addresses leads nowhere but to the public internet
// (docs/security.md S31 to S38). The built program runs in a network of its own where every address in the
// world is the machine itself, and where each packet is seen: what is refused must not have sent one.
//
// It needs Linux, the program ip, and the right to make such a network; without them its tests are skipped.
package ssrf
