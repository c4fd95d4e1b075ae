#include "data/libraries.h"

#include <hdf5.h>
#include <stdio.h>
#ifdef LT_WITH_FFMPEG
#    include <libavutil/avutil.h>
#endif

int lt_data_libraries(lt_library out[]) {
    unsigned major = 0, minor = 0, release = 0;
    out[0].name = "HDF5", out[1].name = "FFmpeg";
    (void)H5get_libversion(&major, &minor,
                           &release); /* of the library that runs; takes no lock: it reads constants */
    snprintf(out[0].version, sizeof out[0].version, "%u.%u.%u", major, minor, release);
    *out[1].version = '\0';
#ifdef LT_WITH_FFMPEG
    snprintf(out[1].version, sizeof out[1].version, "%s", av_version_info());
#endif
    return 2;
}
