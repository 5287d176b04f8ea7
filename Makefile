# Thin: each target says in one line what it does; the work is in scripts.

NPROC := $(shell nproc)
CFLAGS ?= -O2 -g
WARN = -Wall -Wextra -Wshadow -Werror
BUILD = build

NGX_SRC = /usr/share/nginx/src
NGX_MODULE_SRCS = config $(wildcard ngx_cms_proxy_module/*.[ch])
PLUGIN_SRCS = $(wildcard turn_auth_plugin/*.c)
PLUGIN_HDRS = $(wildcard turn_auth_plugin/*.h)

MODULE = $(BUILD)/ngx_http_cms_proxy_module.so
STREAM_MODULE = $(BUILD)/ngx_stream_cms_proxy_module.so
PLUGIN = $(BUILD)/turn_auth_plugin.so

.PHONY: all help deps deps-build test demo bench fuzz soak sanitize install clean

all: deps-build	## build the nginx modules and the coturn plugin
	@$(MAKE) --no-print-directory -s $(MODULE) $(STREAM_MODULE) $(PLUGIN)

help:	## list the targets
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## */\1	/p' Makefile | expand -t 14

deps-build:
	@t/install-packages build

deps:	## install the packages that tests and demo need
	@t/install-packages test

# The stock nginx's own build flags, from package nginx-dev; configure writes
# beside its sources, so it works on a copy.
$(BUILD)/nginx/Makefile: config $(NGX_SRC)/conf_flags
	@mkdir -p $(BUILD)
	rm -rf $(BUILD)/nginx $(BUILD)/nginx-src
	cp -rL $(NGX_SRC) $(BUILD)/nginx-src
	cd $(BUILD)/nginx-src && bash -c '. ./conf_flags && bash ./configure \
	  --with-cc-opt="$$(dpkg-buildflags --get CFLAGS) -fPIC $$(dpkg-buildflags --get CPPFLAGS)" \
	  --with-ld-opt="$$(dpkg-buildflags --get LDFLAGS) -fPIC" \
	  "$${NGX_CONF_FLAGS[@]}" --with-stream --with-stream_ssl_module \
	  --add-dynamic-module=$(CURDIR) --builddir=$(CURDIR)/$(BUILD)/nginx' \
	  > $(CURDIR)/$(BUILD)/nginx-configure.log 2>&1 \
	  || { tail -20 $(CURDIR)/$(BUILD)/nginx-configure.log >&2; exit 1; }

$(MODULE) $(STREAM_MODULE) &: $(BUILD)/nginx/Makefile $(NGX_MODULE_SRCS)
	$(MAKE) -s -C $(BUILD)/nginx-src -f $(CURDIR)/$(BUILD)/nginx/Makefile modules
	@# by rename: an nginx that runs with the old ones keeps them
	for so in $(notdir $(MODULE) $(STREAM_MODULE)); do \
	  cp $(BUILD)/nginx/$$so $(BUILD)/$$so.new && \
	  mv $(BUILD)/$$so.new $(BUILD)/$$so || exit 1; done

$(PLUGIN): $(PLUGIN_SRCS) $(PLUGIN_HDRS) Makefile
	@mkdir -p $(BUILD)
	$(CC) $(CFLAGS) $(WARN) -std=gnu11 -fPIC -fvisibility=hidden -shared \
	  -pthread -I$$(pg_config --includedir) -o $@ $(PLUGIN_SRCS) \
	  -lpq -lhiredis -lcrypto -Wl,-z,defs -Wl,-z,relro,-z,now

test: deps all	## build and run every test (at most 10 minutes)
	@t/run-tests

demo: deps all	## the whole edge in network namespaces, with real browsers
	@t/demo/run

bench: deps all	## each figure beside its peer's (BENCH=turn: one); build/bench.json
	@t/bench/run $(BENCH)

fuzz: deps	## each fuzz target for FUZZ_SECONDS (600) seconds
	@t/fuzz/run $(or $(FUZZ_SECONDS),600)

soak: deps all	## memory of a worker over 100,000 pages (SOAK=10: ten times)
	@prove -It/lib -v t/soak/*.t

SANITIZED = $(filter-out t/plugin-others.t t/plugin-secrets.t,$(wildcard t/plugin-*.t))

sanitize: deps all	## nginx and plugin tests under the sanitizers
	@# plugin-others.t: psql hangs in libp11-kit's exit handler under ASan;
	@# plugin-secrets.t reads all memory, of which sanitizers map terabytes
	@t/sanitize t/nginx-*.t t/stream-*.t t/rewrite-spellings.t \
	  t/rewrite-random-nginx.t $(SANITIZED)
	@t/sanitize -t $(SANITIZED)

# Where the examples and nginx's modules/ expect things; by rename, since a
# running nginx or coturn has the old ones mapped.
MODULES_DIR = /usr/lib/nginx/modules
PLUGIN_DIR = /usr/lib/cms-edge
SHARE_DIR = /usr/share/cms-edge

install: all	## module, plugin, SQL and examples, below DESTDIR
	install -d $(DESTDIR)$(MODULES_DIR) $(DESTDIR)$(PLUGIN_DIR) \
	  $(DESTDIR)$(SHARE_DIR)
	for so in $(notdir $(MODULE) $(STREAM_MODULE)); do \
	  install -m 644 $(BUILD)/$$so $(DESTDIR)$(MODULES_DIR)/.cms-edge.new && \
	  mv $(DESTDIR)$(MODULES_DIR)/.cms-edge.new \
	    $(DESTDIR)$(MODULES_DIR)/$$so || exit 1; done
	install -m 644 $(PLUGIN) $(DESTDIR)$(PLUGIN_DIR)/.cms-edge.new
	mv $(DESTDIR)$(PLUGIN_DIR)/.cms-edge.new \
	  $(DESTDIR)$(PLUGIN_DIR)/$(notdir $(PLUGIN))
	cp -r sql conf-examples $(DESTDIR)$(SHARE_DIR)/
	chmod -R a+rX $(DESTDIR)$(SHARE_DIR)

clean:	## remove build/
	rm -rf $(BUILD)
