# What the demo and the tests replace in conf-examples/: the how-to's domain
# and addresses by ones reserved for documentation. @LIB@ is where the freshly
# built module and plugin lie; t/lib/Edge/Examples.pm fills it in.
s/octavio\.com/octavio.test/g
s/172\.16\.85\./192.0.2./g
s/192\.168\.245\./198.51.100./g
s/10\.88\.246\./203.0.113./g
s,/usr/lib/cms-edge/,@LIB@/,g
s,load_module modules/,load_module @LIB@/,
