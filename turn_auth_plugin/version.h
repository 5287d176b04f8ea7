/*
 * The version of cms-edge that the plugin's figures tell.
 */

#ifndef VERSION_H
#define VERSION_H

#define CMS_EDGE_VERSION "0.3"

#endif
