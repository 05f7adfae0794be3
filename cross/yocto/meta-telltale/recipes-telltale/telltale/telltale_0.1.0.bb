SUMMARY = "In-vehicle inference agent for battery health and anomalies"
DESCRIPTION = "Reads CAN, runs small int8 ONNX models on board and sends verdicts and summaries to a fleet's cloud."
HOMEPAGE = "https://telltale.invalid/"
BUGTRACKER = "https://telltale.invalid/bugs"
SECTION = "embedded"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://${UNPACKDIR}/deb/usr/share/doc/telltale/copyright;md5=3b83ef96387f14655fc854ddc3c6bd57"

# `cargo xtask package` writes it; put it beside this recipe, in files/. The same sources give the same bytes.
SRC_URI = "file://telltale_${PV}_arm64.deb;subdir=deb"

S = "${UNPACKDIR}/deb"
# Releases before Yocto 5.1 unpack elsewhere.
UNPACKDIR ??= "${WORKDIR}"

inherit features_check systemd useradd

COMPATIBLE_HOST = "aarch64.*-linux"
REQUIRED_DISTRO_FEATURES = "systemd"

SYSTEMD_SERVICE:${PN} = "telltale.service"
# A person configures the vehicle first: the file that comes with the package names no vehicle of this world.
SYSTEMD_AUTO_ENABLE = "disable"

USERADD_PACKAGES = "${PN}"
USERADD_PARAM:${PN} = "--system --home-dir ${localstatedir}/lib/telltale --no-create-home --shell ${base_sbindir}/nologin --user-group --groups dialout telltale"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install() {
    install -D -m 0755 ${S}/usr/bin/telltale ${D}${bindir}/telltale
    install -D -m 0644 ${S}/usr/lib/systemd/system/telltale.service ${D}${systemd_system_unitdir}/telltale.service
    install -D -m 0644 ${S}/usr/lib/sysctl.d/60-telltale.conf ${D}${nonarch_libdir}/sysctl.d/60-telltale.conf
    install -D -m 0644 ${S}/etc/telltale/telltale.toml ${D}${sysconfdir}/telltale/telltale.toml
    install -D -m 0644 ${S}/usr/share/doc/telltale/telltale.example.toml ${D}${docdir}/telltale/telltale.example.toml
    install -d ${D}${datadir}/telltale/models/cell-fault
    install -m 0644 ${S}/usr/share/telltale/models/cell-fault/* ${D}${datadir}/telltale/models/cell-fault/
}

FILES:${PN} += "${nonarch_libdir}/sysctl.d"
CONFFILES:${PN} = "${sysconfdir}/telltale/telltale.toml"

# Linked statically and stripped where it was built, its symbols kept apart: nothing here is to touch it.
INHIBIT_PACKAGE_STRIP = "1"
INHIBIT_PACKAGE_DEBUG_SPLIT = "1"
INSANE_SKIP:${PN} += "already-stripped ldflags"
