/* cppcheck sees this instead of library headers. */
#define cJSON_ArrayForEach(element, array)                                                                   \
    for (element = (array) ? (array)->child : 0; element; element = element->next)
