// Image makes a container image of a static Go program, without Docker and without a base
// image:
//
//	go run ./e2e/image -o dist/sluice.tar
//	docker load -i dist/sluice.tar                      # or
//	ctr --namespace k8s.io images import dist/sluice.tar
//
// What goes in: a main package of this module, the machine's CA certificates. What comes out:
// a tar file with the image, which has the program as its entry point, a user who is not
// root, an empty /tmp, and nothing else: no shell, no libraries. The same sources make the
// same bytes. What it never does: talk to a registry.
package main
